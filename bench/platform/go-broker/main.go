// Runs mochi-mqtt as an open broker on the given port of the loopback interface. Prints "listening" once it accepts connections.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func main() {
	options := &mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	server := mqtt.New(options)
	// Raises the limits as far as possible. By default, the broker drops messages that a subscriber does not accept immediately.
	server.Options.Capabilities.MaximumClientWritesPending = 1 << 20
	server.Options.Capabilities.MaximumInflight = 65535
	if err := server.AddHook(new(auth.AllowHook), nil); err != nil {
		panic(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:" + os.Args[1]})
	if err := server.AddListener(listener); err != nil {
		panic(err)
	}
	if err := server.Serve(); err != nil {
		panic(err)
	}
	fmt.Println("listening")
	select {}
}
