//! Sends a delivery: one request over one connection, no TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::hooks::Delivery;

/// How long GitLab waits for an answer (contract, section 1.4).
const PATIENCE: Duration = Duration::from_secs(10);

/// Posts a delivery; returns the answer's status and body.
pub(super) async fn post(url: &str, delivery: &Delivery) -> io::Result<(u16, String)> {
    let unusable = || io::Error::from(io::ErrorKind::InvalidInput);
    let url = Url::parse(url).map_err(|_| unusable())?;
    let address = url.socket_addrs(|| None)?.into_iter().next().ok_or_else(unusable)?;
    let body = delivery.body();
    let mut head = format!("POST {} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n", url.path(), body.len());
    for (name, value) in delivery.headers() {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(unusable)?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((status, body))
    };
    tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
