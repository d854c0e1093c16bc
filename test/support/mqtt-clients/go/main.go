// Command mqtt-go performs a task of test/support/mqtt-clients.ts with the Eclipse clients: paho.mqtt.golang for MQTT 3.1.1, and paho.golang
// for 5. Usage: mqtt-go TASK, a JSON file.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"
)

type message struct {
	Topic   string      `json:"topic"`
	Payload string      `json:"payload"`
	QoS     byte        `json:"qos"`
	Retain  bool        `json:"retain"`
	User    [][2]string `json:"user"`
}

type task struct {
	Version   int         `json:"version"`
	Host      string      `json:"host"`
	Port      int         `json:"port"`
	WebSocket bool        `json:"webSocket"`
	CA        string      `json:"ca"`
	Cert      string      `json:"cert"`
	Key       string      `json:"key"`
	Username  string      `json:"username"`
	Password  string      `json:"password"`
	ClientID  string      `json:"clientId"`
	User      [][2]string `json:"user"`
	Before    []message   `json:"before"`
	Filter    string      `json:"filter"`
	QoS       byte        `json:"qos"`
	Live      []message   `json:"live"`
	Expect    int         `json:"expect"`
	Will      *message    `json:"will"`
}

// client is a connected client of either library.
type client interface {
	publish(message) error
	subscribe(filter string, qos byte) error
	close() error
}

const patience = 10 * time.Second

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var todo task
	if err := json.Unmarshal(text, &todo); err != nil {
		return err
	}
	heard := make(chan message, 100)
	connect := connectV3
	if todo.Version == 5 {
		connect = connectV5
	}
	connected, err := connect(todo, heard)
	if err != nil {
		return err
	}
	if todo.Will != nil {
		// The process ends without DISCONNECT.
		os.Exit(0)
	}
	send := func(messages []message) error {
		for _, each := range messages {
			if err := connected.publish(each); err != nil {
				return err
			}
		}
		return nil
	}
	if err := send(todo.Before); err != nil {
		return err
	}
	if err := connected.subscribe(todo.Filter, todo.QoS); err != nil {
		return err
	}
	if err := send(todo.Live); err != nil {
		return err
	}
	fmt.Println(`{"ready":true}`)
	for count := 0; count < todo.Expect; count++ {
		select {
		case each := <-heard:
			line, err := json.Marshal(each)
			if err != nil {
				return err
			}
			fmt.Println(string(line))
		case <-time.After(2 * patience):
			return fmt.Errorf("%d messages arrived", count)
		}
	}
	return connected.close()
}

func tlsOf(todo task) (*tls.Config, error) {
	pem, err := os.ReadFile(todo.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if todo.Cert != "" {
		pair, err := tls.LoadX509KeyPair(todo.Cert, todo.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func address(todo task, scheme string) string {
	if todo.WebSocket {
		return fmt.Sprintf("wss://%s:%d/mqtt", todo.Host, todo.Port)
	}
	return fmt.Sprintf("%s://%s:%d", scheme, todo.Host, todo.Port)
}
