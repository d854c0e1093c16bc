package main

import (
	"context"
	"net/url"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
)

type clientV5 struct {
	*autopaho.ConnectionManager
	user paho.UserProperties
}

func connectV5(todo task, heard chan<- message) (client, error) {
	config, err := tlsOf(todo)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(address(todo, "mqtts"))
	if err != nil {
		return nil, err
	}
	user := paho.UserProperties{}
	for _, pair := range todo.User {
		user.Add(pair[0], pair[1])
	}
	options := autopaho.ClientConfig{
		ServerUrls:                    []*url.URL{at},
		TlsCfg:                        config,
		KeepAlive:                     30,
		CleanStartOnInitialConnection: true,
		ConnectUsername:               todo.Username,
		ConnectPassword:               []byte(todo.Password),
		ClientConfig: paho.ClientConfig{
			ClientID: todo.ClientID,
			OnPublishReceived: []func(paho.PublishReceived) (bool, error){
				func(got paho.PublishReceived) (bool, error) {
					each := got.Packet
					pairs := [][2]string{}
					for _, property := range each.Properties.User {
						pairs = append(pairs, [2]string{property.Key, property.Value})
					}
					heard <- message{each.Topic, string(each.Payload), each.QoS, each.Retain, pairs}
					return true, nil
				},
			},
		},
	}
	if todo.Username == "" {
		options.ConnectPassword = nil
	}
	if todo.Will != nil {
		options.WillMessage = &paho.WillMessage{Topic: todo.Will.Topic, Payload: []byte(todo.Will.Payload), QoS: 1}
		options.WillProperties = &paho.WillProperties{User: user}
	}
	made, err := autopaho.NewConnection(context.Background(), options)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return clientV5{made, user}, made.AwaitConnection(limited)
}

func (c clientV5) publish(each message) error {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Publish(limited, &paho.Publish{
		Topic:      each.Topic,
		Payload:    []byte(each.Payload),
		QoS:        each.QoS,
		Retain:     each.Retain,
		Properties: &paho.PublishProperties{User: c.user},
	})
	return err
}

func (c clientV5) subscribe(filter string, qos byte) error {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := c.Subscribe(limited, &paho.Subscribe{
		Subscriptions: []paho.SubscribeOptions{{Topic: filter, QoS: qos}},
	})
	return err
}

func (c clientV5) close() error {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.Disconnect(limited)
}
