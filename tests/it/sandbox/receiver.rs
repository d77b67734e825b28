//! A receiver of webhooks that keeps what it gets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Got {
    pub headers: Vec<(String, String)>,
    pub raw: Vec<u8>,
    pub payload: Value,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    /// `event.action`.
    pub fn name(&self) -> String {
        match self.payload["action"].as_str() {
            Some(action) => format!("{}.{action}", self.header("x-github-event")),
            None => self.header("x-github-event").to_owned(),
        }
    }
}

pub struct Receiver {
    pub url: String,
    got: Arc<Mutex<Vec<Got>>>,
    status: Arc<Mutex<u16>>,
}

impl Receiver {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/github/webhook", listener.local_addr().unwrap());
        let (got, status) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(202)));
        let (kept, answered) = (got.clone(), status.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let (kept, answered) = (kept.clone(), answered.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    loop {
                        let mut headers = Vec::new();
                        let mut first = String::new();
                        if reader.read_line(&mut first).unwrap_or(0) == 0 {
                            return;
                        }
                        loop {
                            let mut line = String::new();
                            reader.read_line(&mut line).unwrap();
                            let line = line.trim_end();
                            if line.is_empty() {
                                break;
                            }
                            let (name, value) = line.split_once(':').unwrap();
                            headers.push((name.to_owned(), value.trim().to_owned()));
                        }
                        let length = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("content-length"));
                        let mut raw = vec![0; length.map_or(0, |(_, v)| v.parse().unwrap())];
                        reader.read_exact(&mut raw).unwrap();
                        let payload = serde_json::from_slice(&raw).unwrap_or(Value::Null);
                        kept.lock().unwrap().push(Got { headers, raw, payload });
                        let status = *answered.lock().unwrap();
                        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, got, status }
    }

    pub fn answer_with(&self, status: u16) {
        *self.status.lock().unwrap() = status;
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.got().iter().map(Got::name).collect()
    }
}
