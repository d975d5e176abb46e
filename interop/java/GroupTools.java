import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.tools.consumer.group.ConsumerGroupCommand;

/**
 * {@code kafka-consumer-groups.sh} many times in one JVM: one command line per line of standard input, its words divided
 * by tabs. After what the tool printed comes a line {@code exit CODE}, and after that a line with a form feed only.
 */
public final class GroupTools {
    /** Ends the tool's work, though the tool catches whatever is thrown; so the code is kept beside it. */
    private static final class Exited extends RuntimeException {
        private static final long serialVersionUID = 1;

        private Exited(String message) {
            super(message, null, false, false);
        }
    }

    private static int exitCode;

    private GroupTools() {}

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        Exit.setExitProcedure((code, message) -> {
            exitCode = code;
            throw new Exited(message);
        });
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            PrintStream capture = new PrintStream(printed, true, StandardCharsets.UTF_8);
            System.setOut(capture);
            System.setErr(capture);
            exitCode = 0;
            try {
                ConsumerGroupCommand.main(line.split("\t"));
            } catch (Exited exited) {
                capture.println(exited.getMessage());
            }
            out.println(printed.toString(StandardCharsets.UTF_8).stripTrailing());
            out.println("exit " + exitCode);
            out.println("\f");
            out.flush();
        }
    }
}
