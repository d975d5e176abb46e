//! Examples that answer a newcomer question each; run in CI with asserted output.
