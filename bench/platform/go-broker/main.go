// mochi-mqtt as a broker that anybody may use, on the port of the loopback that it is given. Says a word once it listens.
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
	// It limits as little as it can: by default it drops what a subscriber does not take at once.
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
