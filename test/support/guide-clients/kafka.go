package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/Shopify/sarama"
	"github.com/segmentio/kafka-go"
)

// Sends one message per line, in order, each acknowledged by the leader. Uses Produce version 0, which Kafka 4 no longer supports.
func produce(arguments []string) (any, error) {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForLocal
	config.Producer.Return.Successes = true
	config.Producer.Retry.Max = 0
	producer, err := sarama.NewSyncProducer([]string{arguments[0]}, config)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	sent := 0
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		message := &sarama.ProducerMessage{Topic: arguments[1], Value: sarama.StringEncoder(lines.Text())}
		if _, _, err := producer.SendMessage(message); err != nil {
			return nil, err
		}
		sent++
	}
	return map[string]int{"sent": sent}, lines.Err()
}

// Reads a topic starting with its first message.
func reader(broker, topic string) (*kafka.Reader, error) {
	own := kafka.NewReader(kafka.ReaderConfig{
		Brokers:   []string{broker},
		Topic:     topic,
		Partition: partition,
		MaxWait:   200 * time.Millisecond,
	})
	return own, own.SetOffset(kafka.FirstOffset)
}

func say(broker, topic, message string) error {
	writer := &kafka.Writer{Addr: kafka.TCP(broker), Topic: topic, BatchSize: 1}
	defer writer.Close()
	limit, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return writer.WriteMessages(limit, kafka.Message{Value: []byte(message)})
}

// The fields of a control message; empty if it is not one.
type control struct {
	Command string `json:"command"`
	Payload string `json:"payload"`
}

func controlIn(value []byte) control {
	var told control
	json.Unmarshal(value, &told)
	return told
}
