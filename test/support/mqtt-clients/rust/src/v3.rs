//! MQTT 3.1.1.
use std::time::Duration;

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Packet, QoS, Transport};

use crate::{address, identity, Action, Failure, Incoming, Message, Steps};

fn qos_of(value: u8) -> QoS {
    match value {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

pub async fn run(mut steps: Steps) -> Result<(), Failure> {
    let task = steps.task();
    let mut options = MqttOptions::new(&task.client_id, address(task), task.port);
    options.set_keep_alive(Duration::from_secs(30));
    let (ca, own) = identity(task)?;
    options.set_transport(if task.web_socket {
        Transport::wss(ca, own, None)
    } else {
        Transport::tls(ca, own, None)
    });
    if let (Some(name), Some(password)) = (&task.username, &task.password) {
        options.set_credentials(name, password);
    }
    if let Some(will) = &task.will {
        options.set_last_will(LastWill::new(&will.topic, will.payload.clone(), QoS::AtLeastOnce, false));
    }
    let (client, mut events) = AsyncClient::new(options, 100);
    loop {
        let incoming = match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => Incoming::Connected,
            Event::Incoming(Packet::SubAck(_)) => Incoming::Subscribed,
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Incoming::Acknowledged,
            Event::Incoming(Packet::Publish(each)) => Incoming::Message(Message {
                topic: each.topic,
                payload: String::from_utf8(each.payload.to_vec())?,
                qos: each.qos as u8,
                retain: each.retain,
                user: vec![],
            }),
            _ => Incoming::Other,
        };
        match steps.take(incoming)? {
            Action::None => {}
            Action::Publish(messages) => {
                for each in messages {
                    client.publish(each.topic, qos_of(each.qos), each.retain, each.payload).await?;
                }
            }
            Action::Subscribe => {
                let task = steps.task();
                client.subscribe(&task.filter, qos_of(task.qos)).await?;
            }
            Action::Finish => return Ok(()),
        }
    }
}
