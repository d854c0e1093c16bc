//! Performs a task of test/support/mqtt-clients.ts with rumqttc. Usage: mqtt-rust TASK, a JSON file.
use std::error::Error;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod v3;
mod v5;

#[derive(Deserialize, Serialize)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    #[serde(default)]
    pub qos: u8,
    #[serde(default)]
    pub retain: bool,
    #[serde(default)]
    pub user: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    pub version: u8,
    pub host: String,
    pub port: u16,
    pub web_socket: bool,
    pub ca: String,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub username: Option<String>,
    pub password: Option<String>,
    pub client_id: String,
    pub user: Vec<(String, String)>,
    pub before: Vec<Message>,
    pub filter: String,
    pub qos: u8,
    pub live: Vec<Message>,
    pub expect: usize,
    pub will: Option<Message>,
}

pub type Failure = Box<dyn Error>;

/// The next action on the connection, the same for all versions of MQTT.
pub enum Action {
    None,
    Publish(Vec<Message>),
    Subscribe,
    Finish,
}

/// A packet from the broker, the same for all versions of MQTT.
pub enum Incoming {
    Connected,
    Subscribed,
    Acknowledged,
    Message(Message),
    Other,
}

/// The steps of a task: the messages before the subscription, the subscription, and the messages after it.
pub struct Steps {
    task: Task,
    pending: usize,
    live: bool,
    heard: usize,
}

impl Steps {
    fn new(task: Task) -> Self {
        Self { task, pending: 0, live: false, heard: 0 }
    }

    pub fn task(&self) -> &Task {
        &self.task
    }

    pub fn take(&mut self, incoming: Incoming) -> Result<Action, Failure> {
        match incoming {
            Incoming::Connected => {
                if self.task.will.is_some() {
                    // The process ends without DISCONNECT.
                    std::process::exit(0);
                }
                let before = std::mem::take(&mut self.task.before);
                self.pending = before.iter().filter(|each| each.qos > 0).count();
                Ok(if self.pending == 0 { Action::Subscribe } else { Action::Publish(before) })
            }
            Incoming::Subscribed => {
                self.live = true;
                let live = std::mem::take(&mut self.task.live);
                self.pending = live.iter().filter(|each| each.qos > 0).count();
                Ok(Action::Publish(live))
            }
            Incoming::Acknowledged => {
                self.pending -= 1;
                if self.pending > 0 {
                    return Ok(Action::None);
                }
                if !self.live {
                    return Ok(Action::Subscribe);
                }
                println!("{{\"ready\":true}}");
                Ok(self.next())
            }
            Incoming::Message(message) => {
                println!("{}", serde_json::to_string(&message)?);
                self.heard += 1;
                Ok(self.next())
            }
            Incoming::Other => Ok(Action::None),
        }
    }

    fn next(&self) -> Action {
        let done = self.live && self.pending == 0 && self.heard == self.task.expect;
        if done { Action::Finish } else { Action::None }
    }
}

/// The certificate and key of the client as PEM, and the CA.
pub fn identity(task: &Task) -> Result<(Vec<u8>, Option<(Vec<u8>, Vec<u8>)>), Failure> {
    let own = match (&task.cert, &task.key) {
        (Some(cert), Some(key)) => Some((std::fs::read(cert)?, std::fs::read(key)?)),
        _ => None,
    };
    Ok((std::fs::read(&task.ca)?, own))
}

/// Host or URL, as expected by rumqttc.
pub fn address(task: &Task) -> String {
    if task.web_socket {
        format!("wss://{}:{}/mqtt", task.host, task.port)
    } else {
        task.host.clone()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    provider.install_default().map_err(|_| "TLS has a provider already")?;
    let path = std::env::args().nth(1).ok_or("a task is missing")?;
    let task: Task = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let work = async {
        if task.version == 5 {
            v5::run(Steps::new(task)).await
        } else {
            v3::run(Steps::new(task)).await
        }
    };
    tokio::time::timeout(Duration::from_secs(30), work).await?
}
