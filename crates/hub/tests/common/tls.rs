//! TLS before a hub, with certificates that are made when the test runs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tensorgate_testhub::{Port, TestHub};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A site's own authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// From which year to which a certificate counts.
pub(crate) type Years = (i32, i32);
pub(crate) const NOW: Years = (2000, 2100);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "A site");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// The file that `SSL_CERT_FILE` names.
    pub(crate) fn write(&self, dir: &Path) -> PathBuf {
        let path = dir.join("site.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// What serves TLS as `name`.
    fn acceptor(&self, name: &str, years: Years) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.0, 1, 1);
        params.not_after = date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A hub whose two ports speak TLS.
pub(crate) struct Fronts {
    sockets: [TcpListener; 2],
}

impl Fronts {
    /// Their ports are known before the hub is, which calls itself by them.
    pub(crate) async fn new() -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        Self {
            sockets: [bind().await.unwrap(), bind().await.unwrap()],
        }
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        [0, 1].map(|n| self.sockets[n].local_addr().unwrap())
    }

    /// Hub and CDN answer, each with a certificate of that authority for that name.
    pub(crate) fn serve(self, hub: &TestHub, certificates: [(&Authority, &str, Years); 2]) {
        let ports = [Port::Hub, Port::Cdn];
        for ((socket, port), (authority, name, years)) in
            self.sockets.into_iter().zip(ports).zip(certificates)
        {
            let (acceptor, behind) = (authority.acceptor(name, years), hub.address(port));
            tokio::spawn(async move {
                while let Ok((client, _)) = socket.accept().await {
                    // Whoever gives up closes the connection.
                    tokio::spawn(pass(acceptor.clone(), client, behind));
                }
            });
        }
    }
}

async fn pass(acceptor: TlsAcceptor, client: TcpStream, behind: SocketAddr) -> Option<()> {
    let mut client = acceptor.accept(client).await.ok()?;
    let mut server = TcpStream::connect(behind).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
