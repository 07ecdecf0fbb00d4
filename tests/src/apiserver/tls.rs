//! Certificates: an authority and a server certificate, made afresh for every server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority's certificate and a server's certificate and key.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// The authority's certificate, for clients.
    pub(crate) authority_pem: String,
    /// The same in binary.
    pub(crate) authority: Vec<u8>,
    /// The server's certificate.
    pub(crate) server_pem: String,
    /// The server's private key (PKCS #8).
    pub(crate) key_pem: String,
    server: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certificates {
    /// Certificates for loopback, `localhost` and one more address.
    pub(crate) fn new(address: IpAddr) -> anyhow::Result<Self> {
        Self::generate(address).context("make the API server's certificates")
    }

    fn generate(address: IpAddr) -> Result<Self, rcgen::Error> {
        let mut authority = named("kproxy test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut server = named("kproxy test API server");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), address];
        server.subject_alt_names = addresses.into_iter().map(SanType::IpAddress).collect();
        for name in ["localhost", "kubernetes", "kubernetes.default.svc"] {
            server.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;

        Ok(Self {
            authority_pem: authority_certificate.pem(),
            authority: authority_certificate.der().to_vec(),
            server_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            server: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }

    /// What turns TCP connections into TLS connections.
    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        // Named here, because another crate may have put a second provider into the build.
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.server.clone()], self.key.clone_key())
            .context("use the API server's certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A private key alone, for the real server's service account tokens.
pub(crate) fn private_key_pem() -> anyhow::Result<String> {
    Ok(KeyPair::generate().context("make a private key")?.serialize_pem())
}

fn named(common_name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters
        .distinguished_name
        .push(DnType::CommonName, common_name);
    parameters
}
