//! What stands between Cistern and a GitLab: an end of TLS, an egress proxy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Returns the file of a certificate and its key in `fixtures/tls`.
pub(crate) fn certificate_file(name: &str) -> String {
    format!("{}/fixtures/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// A server of the tests' own; ends when dropped.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    passed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Front {
    /// Ends TLS with this certificate of `fixtures/tls` and hands on to an address.
    pub(crate) async fn tls(certificate: &str, to: SocketAddr) -> Self {
        let pem = certificate_file(certificate);
        let pem = pem.as_str();
        let chain = CertificateDer::pem_file_iter(pem).expect("a file").collect::<Result<Vec<_>, _>>().expect("PEM");
        let key = PrivateKeyDer::from_pem_file(pem).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::serve(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let mut inside = acceptor.accept(stream).await?;
                copy_bidirectional(&mut inside, &mut TcpStream::connect(to).await?).await.map(drop)
            }
        })
        .await
    }

    /// Opens tunnels to wherever `CONNECT` asks for.
    pub(crate) async fn proxy() -> Self {
        Self::serve(|stream| async move {
            let mut stream = BufReader::new(stream);
            let mut first = String::new();
            stream.read_line(&mut first).await?;
            let mut line = String::new();
            while stream.read_line(&mut line).await? > 2 {
                line.clear();
            }
            let Some(to) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            };
            let mut beyond = TcpStream::connect(to).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut beyond).await.map(drop)
        })
        .await
    }

    /// Returns how many connections it has accepted.
    pub(crate) fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    async fn serve<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let passed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&passed);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(handle(stream));
            }
        });
        Self { address, passed, task }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}
