// The Go programs of the architects' guide, as seen on the wire. They use the same client libraries in the same versions.
// Written for the tests from the known contract, without any of the guide's code.
//
//	guide-clients produce  KAFKA TOPIC                       one message per line of stdin, in the oldest protocol that its library supports
//	guide-clients ingest   KAFKA DATA CONTROL UPLOAD ROWS    writes readings to one CSV file with this many rows, uploads and announces it
//	guide-clients extract  KAFKA CONTROL RAW NORMALIZED      adds a label to each row of the first announced file
//	guide-clients serve    DEVICES MODELS DATASETS CERT KEY FOLDER   serves the three services on these ports
//
// The clients print their results as one line of JSON.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// The topics have one partition, and there are no consumer groups.
const partition = 0

func main() {
	commands := map[string]struct {
		arguments int
		run       func([]string) (any, error)
	}{
		"produce": {2, produce},
		"ingest":  {5, ingest},
		"extract": {4, extract},
		"serve":   {6, serve},
	}
	if len(os.Args) > 1 {
		if command, known := commands[os.Args[1]]; known && len(os.Args) == 2+command.arguments {
			told, err := command.run(os.Args[2:])
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			json.NewEncoder(os.Stdout).Encode(told)
			return
		}
	}
	fmt.Fprintln(os.Stderr, "guide-clients produce | ingest | extract | serve …")
	os.Exit(2)
}

// The guide does not verify certificates.
var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}
