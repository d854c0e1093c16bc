// A bridge from MQTT to Kafka that works like the one in the architects' guide, as the peer in bench/streams. A paho subscriber with
// its own session produces each message synchronously (acknowledged by the leader) in paho's callback, in order. It has the same defects as
// the original: errors are printed and otherwise ignored.
//
// go-bridge MQTT-ADDRESS KAFKA-ADDRESS TOPIC QOS
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/Shopify/sarama"
	mqtt "github.com/eclipse/paho.mqtt.golang"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "go-bridge MQTT-ADDRESS KAFKA-ADDRESS TOPIC QOS")
		os.Exit(2)
	}
	topic := os.Args[3]
	qos, err := strconv.Atoi(os.Args[4])
	if err != nil {
		fail(err)
	}

	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForLocal
	config.Producer.Return.Successes = true
	producer, err := sarama.NewSyncProducer([]string{os.Args[2]}, config)
	if err != nil {
		fail(err)
	}

	options := mqtt.NewClientOptions().AddBroker("tcp://" + os.Args[1]).SetClientID("go-bridge").SetCleanSession(false)
	client := mqtt.NewClient(options)
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		fail(token.Error())
	}
	onMessage := func(_ mqtt.Client, message mqtt.Message) {
		_, _, err := producer.SendMessage(&sarama.ProducerMessage{
			Topic: message.Topic(),
			Value: sarama.ByteEncoder(message.Payload()),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if token := client.Subscribe(topic, byte(qos), onMessage); token.Wait() && token.Error() != nil {
		fail(token.Error())
	}
	fmt.Println("ready")

	ending := make(chan os.Signal, 1)
	signal.Notify(ending, os.Interrupt, syscall.SIGTERM)
	<-ending
	client.Disconnect(250)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
