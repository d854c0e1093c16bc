// What the architects' guide has in Go, in its own words on the wire: the same client libraries in the versions that it has them in.
// Written for the tests from what is known of its contract; none of the guide's code is in here.
//
//	guide-clients produce  KAFKA TOPIC                       a message for each line of stdin, by the oldest protocol that its library knows
//	guide-clients ingest   KAFKA DATA CONTROL UPLOAD ROWS    readings to a CSV file of so many rows, uploaded and told of; one file, then it ends
//	guide-clients extract  KAFKA CONTROL RAW NORMALIZED      the first file that was told of, with a label to each row
//	guide-clients serve    DEVICES MODELS DATASETS CERT KEY FOLDER   the three services, on these ports
//
// The clients print what they did as one line of JSON.
package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// The topics have one partition, and nobody has a consumer group.
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

// Nobody there looks at certificates.
var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}
