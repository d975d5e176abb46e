//! The configs of TLS, SASL, authorization and quotas.

use super::super::row::{
    Row,
    Support::{Accept, Honour, Refuse},
    rows,
};
use super::super::value::Rule::{Any, AtLeast, Between, OneOf, OneOfAnyCase};
use super::notes;

pub(super) const SECURITY: &[Row] = rows! {
    "authorizer.class.name" Text "" [Any] ReadOnly Refuse(notes::AUTHORIZER),
        "The class that decides who may do what.";
    "connections.max.reauth.ms" Long "0" [Any] ReadOnly Accept(notes::SECURITY),
        "How long a SASL session lasts before the client has to authenticate again.";
    "sasl.server.max.receive.size" Int "524288" [Any] ReadOnly Accept(notes::SECURITY),
        "The largest SASL token.";
    "security.providers" Text null [Any] ReadOnly Accept(notes::JVM),
        "Java security providers.";
    "principal.builder.class" Class "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder" [Any] PerBroker Accept(notes::JVM),
        "The Java class that names the principal of a connection.";
    "ssl.client.auth" Text "none" [OneOf(&["required", "requested", "none"])] PerBroker Accept(notes::TLS),
        "Whether clients must show a certificate: `none`, `requested` or `required`.";
    "ssl.principal.mapping.rules" Text "DEFAULT" [Any] ReadOnly Accept(notes::TLS),
        "How a certificate's name becomes a principal.";
    "ssl.allow.dn.changes" Bool "false" [Any] ReadOnly Accept(notes::TLS),
        "Whether a replaced certificate may have another name.";
    "ssl.allow.san.changes" Bool "false" [Any] ReadOnly Accept(notes::TLS),
        "Whether a replaced certificate may have other alternative names.";
    "ssl.protocol" Text "TLSv1.3" [Any] PerBroker Accept(notes::TLS),
        "The TLS version to begin with.";
    "ssl.provider" Text null [Any] PerBroker Accept(notes::JVM),
        "The Java provider of TLS.";
    "ssl.enabled.protocols" List "TLSv1.2,TLSv1.3" [Any] PerBroker Accept(notes::TLS),
        "The TLS versions that are allowed.";
    "ssl.keystore.type" Text "JKS" [Any] PerBroker Accept(notes::TLS),
        "The format of the key store; only `PEM` will be read.";
    "ssl.keystore.location" Text null [Any] PerBroker Accept(notes::TLS),
        "The file of the private key and its certificates.";
    "ssl.keystore.password" Password null [Any] PerBroker Accept(notes::TLS),
        "The password of the key store file.";
    "ssl.key.password" Password null [Any] PerBroker Accept(notes::TLS),
        "The password of the private key.";
    "ssl.keystore.key" Password null [Any] PerBroker Accept(notes::TLS),
        "The private key itself, as PEM.";
    "ssl.keystore.certificate.chain" Password null [Any] PerBroker Accept(notes::TLS),
        "The certificates of the private key, as PEM.";
    "ssl.truststore.type" Text "JKS" [Any] PerBroker Accept(notes::TLS),
        "The format of the trust store; only `PEM` will be read.";
    "ssl.truststore.location" Text null [Any] PerBroker Accept(notes::TLS),
        "The file of the trusted certificates.";
    "ssl.truststore.password" Password null [Any] PerBroker Accept(notes::TLS),
        "The password of the trust store file.";
    "ssl.truststore.certificates" Password null [Any] PerBroker Accept(notes::TLS),
        "The trusted certificates themselves, as PEM.";
    "ssl.keymanager.algorithm" Text "SunX509" [Any] PerBroker Accept(notes::JVM),
        "The Java key manager's algorithm.";
    "ssl.trustmanager.algorithm" Text "PKIX" [Any] PerBroker Accept(notes::JVM),
        "The Java trust manager's algorithm.";
    "ssl.endpoint.identification.algorithm" Text "https" [Any] PerBroker Accept(notes::TLS),
        "How the name of a TLS server is checked; empty switches the check off.";
    "ssl.secure.random.implementation" Text null [Any] PerBroker Accept(notes::JVM),
        "The Java random number generator of TLS.";
    "ssl.cipher.suites" List "" [Any] PerBroker Accept(notes::TLS),
        "The cipher suites that are allowed; empty means the library's choice.";
    "ssl.engine.factory.class" Class null [Any] PerBroker Accept(notes::JVM),
        "The Java class that makes TLS engines.";
    "sasl.mechanism.inter.broker.protocol" Text "GSSAPI" [Any] PerBroker Accept(notes::SECURITY),
        "The SASL mechanism between brokers.";
    "sasl.enabled.mechanisms" List "GSSAPI" [Any] PerBroker Accept(notes::SECURITY),
        "The SASL mechanisms that clients may use.";
    "sasl.server.callback.handler.class" Class null [Any] ReadOnly Accept(notes::JVM),
        "The Java class that answers the SASL server's questions.";
    "sasl.kerberos.principal.to.local.rules" List "DEFAULT" [Any] PerBroker Accept(notes::SECURITY),
        "How a Kerberos principal becomes a short name.";
    "sasl.jaas.config" Password null [Any] PerBroker Accept(notes::SECURITY),
        "The login settings of SASL, in JAAS form.";
    "sasl.client.callback.handler.class" Class null [Any] ReadOnly Accept(notes::JVM),
        "The Java class that answers the SASL client's questions.";
    "sasl.login.class" Class null [Any] ReadOnly Accept(notes::JVM),
        "The Java class that logs in.";
    "sasl.login.callback.handler.class" Class null [Any] ReadOnly Accept(notes::JVM),
        "The Java class that answers the login's questions.";
    "sasl.kerberos.service.name" Text null [Any] PerBroker Accept(notes::SECURITY),
        "The Kerberos service name of the brokers.";
    "sasl.kerberos.kinit.cmd" Text "/usr/bin/kinit" [Any] PerBroker Accept(notes::SECURITY),
        "The path of `kinit`.";
    "sasl.kerberos.ticket.renew.window.factor" Double "0.8" [Any] PerBroker Accept(notes::SECURITY),
        "The share of a ticket's life after which it is renewed.";
    "sasl.kerberos.ticket.renew.jitter" Double "0.05" [Any] PerBroker Accept(notes::SECURITY),
        "The random share added to that time.";
    "sasl.kerberos.min.time.before.relogin" Long "60000" [Any] PerBroker Accept(notes::SECURITY),
        "The least time between two renewals.";
    "sasl.login.refresh.window.factor" Double "0.8" [Any] PerBroker Accept(notes::SECURITY),
        "The share of a credential's life after which it is refreshed.";
    "sasl.login.refresh.window.jitter" Double "0.05" [Any] PerBroker Accept(notes::SECURITY),
        "The random share added to that time.";
    "sasl.login.refresh.min.period.seconds" Short "60" [Any] PerBroker Accept(notes::SECURITY),
        "The least time between two refreshes.";
    "sasl.login.refresh.buffer.seconds" Short "300" [Any] PerBroker Accept(notes::SECURITY),
        "The time kept free before a credential ends.";
    "sasl.login.connect.timeout.ms" Int null [Any] ReadOnly Accept(notes::SECURITY),
        "How long a connection to the identity provider may take.";
    "sasl.login.read.timeout.ms" Int null [Any] ReadOnly Accept(notes::SECURITY),
        "How long the identity provider may take to answer.";
    "sasl.login.retry.backoff.max.ms" Long "10000" [Any] ReadOnly Accept(notes::SECURITY),
        "The longest pause between two logins.";
    "sasl.login.retry.backoff.ms" Long "100" [Any] ReadOnly Accept(notes::SECURITY),
        "The first pause between two logins.";
    "sasl.oauthbearer.jwt.retriever.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever" [Any] ReadOnly Accept(notes::JVM),
        "The Java class that fetches tokens.";
    "sasl.oauthbearer.jwt.validator.class" Class "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator" [Any] ReadOnly Accept(notes::JVM),
        "The Java class that checks tokens.";
    "sasl.oauthbearer.scope" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The scope asked for with client credentials.";
    "sasl.oauthbearer.client.credentials.client.id" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The client id of the client-credentials grant.";
    "sasl.oauthbearer.client.credentials.client.secret" Password null [Any] ReadOnly Accept(notes::SECURITY),
        "The client secret of the client-credentials grant.";
    "sasl.oauthbearer.assertion.algorithm" Text "RS256" [OneOfAnyCase(&["ES256", "RS256"])] ReadOnly Accept(notes::SECURITY),
        "The algorithm that signs an assertion.";
    "sasl.oauthbearer.assertion.claim.aud" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The audience of an assertion.";
    "sasl.oauthbearer.assertion.claim.exp.seconds" Int "300" [Between(0, 86_400)] ReadOnly Accept(notes::SECURITY),
        "How long an assertion is valid.";
    "sasl.oauthbearer.assertion.claim.iss" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The issuer of an assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include" Bool "false" [Any] ReadOnly Accept(notes::SECURITY),
        "Whether an assertion carries a unique id.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds" Int "60" [Between(0, 3600)] ReadOnly Accept(notes::SECURITY),
        "How long before now an assertion becomes valid.";
    "sasl.oauthbearer.assertion.claim.sub" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The subject of an assertion.";
    "sasl.oauthbearer.assertion.file" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "A file that holds a ready assertion.";
    "sasl.oauthbearer.assertion.private.key.file" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The private key that signs assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase" Password null [Any] ReadOnly Accept(notes::SECURITY),
        "The pass phrase of that private key.";
    "sasl.oauthbearer.assertion.template.file" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "A template of the claims of an assertion.";
    "sasl.oauthbearer.scope.claim.name" Text "scope" [Any] ReadOnly Accept(notes::SECURITY),
        "The claim that holds the scope.";
    "sasl.oauthbearer.sub.claim.name" Text "sub" [Any] ReadOnly Accept(notes::SECURITY),
        "The claim that holds the subject.";
    "sasl.oauthbearer.token.endpoint.url" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "Where tokens are fetched.";
    "sasl.oauthbearer.jwks.endpoint.url" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "Where the keys that check tokens are fetched.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Long "3600000" [Any] ReadOnly Accept(notes::SECURITY),
        "How often those keys are fetched anew.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Long "100" [Any] ReadOnly Accept(notes::SECURITY),
        "The first pause after those keys could not be fetched.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Long "10000" [Any] ReadOnly Accept(notes::SECURITY),
        "The longest pause after those keys could not be fetched.";
    "sasl.oauthbearer.clock.skew.seconds" Int "30" [Any] ReadOnly Accept(notes::SECURITY),
        "The difference of clocks that is forgiven.";
    "sasl.oauthbearer.expected.audience" List "" [Any] ReadOnly Accept(notes::SECURITY),
        "The audiences that a token may name.";
    "sasl.oauthbearer.expected.issuer" Text null [Any] ReadOnly Accept(notes::SECURITY),
        "The issuer that a token must name.";
    "delegation.token.secret.key" Password null [Any] ReadOnly Accept(notes::SECURITY),
        "The secret that signs delegation tokens.";
    "delegation.token.max.lifetime.ms" Long "604800000" [AtLeast(1)] ReadOnly Accept(notes::SECURITY),
        "How long a delegation token can be renewed.";
    "delegation.token.expiry.time.ms" Long "86400000" [AtLeast(1)] ReadOnly Accept(notes::SECURITY),
        "How long a delegation token is valid between renewals.";
    "delegation.token.expiry.check.interval.ms" Long "3600000" [AtLeast(1)] ReadOnly Accept(notes::SECURITY),
        "How often expired delegation tokens are removed.";
    "client.quota.callback.class" Class null [Any] ReadOnly Refuse(notes::PLUGIN_QUOTA),
        "The Java class that sets the quotas of clients.";
    "quota.window.num" Int "11" [AtLeast(1)] ReadOnly Honour,
        "Samples by which the rate of new connections is measured.";
    "quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Honour,
        "The time that each of those samples covers.";
    "replication.quota.window.num" Int "11" [AtLeast(1)] ReadOnly Accept(notes::THROTTLE),
        "Samples by which replication traffic is measured.";
    "replication.quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Accept(notes::THROTTLE),
        "The time that each of those samples covers.";
    "alter.log.dirs.replication.quota.window.num" Int "11" [AtLeast(1)] ReadOnly Accept(notes::MOVEDIRS),
        "Samples by which moves between log directories are measured.";
    "alter.log.dirs.replication.quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Accept(notes::MOVEDIRS),
        "The time that each of those samples covers.";
    "controller.quota.window.num" Int "11" [AtLeast(1)] ReadOnly Accept(notes::QUOTA),
        "Samples by which topic changes are measured.";
    "controller.quota.window.size.seconds" Int "1" [AtLeast(1)] ReadOnly Accept(notes::QUOTA),
        "The time that each of those samples covers.";
};
