//! MQTT 5.
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::{LastWill, LastWillProperties, Packet, PublishProperties};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::Transport;

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
    let user = task.user.clone();
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
        let properties = LastWillProperties {
            delay_interval: None,
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: user.clone(),
        };
        options.set_last_will(LastWill::new(
            &will.topic,
            will.payload.clone(),
            QoS::AtLeastOnce,
            false,
            Some(properties),
        ));
    }
    let (client, mut events) = AsyncClient::new(options, 100);
    loop {
        let incoming = match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => Incoming::Connected,
            Event::Incoming(Packet::SubAck(_)) => Incoming::Subscribed,
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => Incoming::Acknowledged,
            Event::Incoming(Packet::Publish(each)) => Incoming::Message(Message {
                topic: String::from_utf8(each.topic.to_vec())?,
                payload: String::from_utf8(each.payload.to_vec())?,
                qos: each.qos as u8,
                retain: each.retain,
                user: each.properties.map(|found| found.user_properties).unwrap_or_default(),
            }),
            _ => Incoming::Other,
        };
        match steps.take(incoming)? {
            Action::None => {}
            Action::Publish(messages) => {
                for each in messages {
                    let properties = PublishProperties { user_properties: user.clone(), ..Default::default() };
                    client
                        .publish_with_properties(
                            each.topic,
                            qos_of(each.qos),
                            each.retain,
                            each.payload,
                            properties,
                        )
                        .await?;
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
