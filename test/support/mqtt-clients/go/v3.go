package main

import (
	"errors"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

type clientV3 struct{ mqtt.Client }

func connectV3(todo task, heard chan<- message) (client, error) {
	config, err := tlsOf(todo)
	if err != nil {
		return nil, err
	}
	options := mqtt.NewClientOptions().
		AddBroker(address(todo, "ssl")).
		SetClientID(todo.ClientID).
		SetProtocolVersion(4).
		SetTLSConfig(config).
		SetAutoReconnect(false).
		SetDefaultPublishHandler(func(_ mqtt.Client, each mqtt.Message) {
			heard <- message{each.Topic(), string(each.Payload()), each.Qos(), each.Retained(), [][2]string{}}
		})
	if todo.Username != "" {
		options.SetUsername(todo.Username).SetPassword(todo.Password)
	}
	if todo.Will != nil {
		options.SetWill(todo.Will.Topic, todo.Will.Payload, 1, false)
	}
	made := mqtt.NewClient(options)
	return clientV3{made}, settled(made.Connect())
}

func settled(token mqtt.Token) error {
	if !token.WaitTimeout(patience) {
		return errors.New("no answer in time")
	}
	return token.Error()
}

func (c clientV3) publish(each message) error {
	return settled(c.Publish(each.Topic, each.QoS, each.Retain, each.Payload))
}

func (c clientV3) subscribe(filter string, qos byte) error {
	return settled(c.Subscribe(filter, qos, nil))
}

func (c clientV3) close() error {
	c.Disconnect(uint(time.Second.Milliseconds()))
	return nil
}
