package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const most = 40 * time.Second

type reading struct {
	DeviceID    string  `json:"deviceID"`
	TimeStamp   string  `json:"timeStamp"`
	Current     float64 `json:"current"`
	Temperature float64 `json:"temperature"`
	Vibration   float64 `json:"vibration"`
	Sound       float64 `json:"sound"`
}

// Writes the first readings to a file, uploads it, and announces its name.
func ingest(arguments []string) (any, error) {
	broker, data, controls, upload := arguments[0], arguments[1], arguments[2], arguments[3]
	rows, err := strconv.Atoi(arguments[4])
	if err != nil {
		return nil, err
	}
	source, err := reader(broker, data)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	limit, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	var csv strings.Builder
	csv.WriteString("deviceID,timeStamp,current,temperature,vibration,sound\n")
	for taken := 0; taken < rows; {
		message, err := source.ReadMessage(limit)
		if err != nil {
			return nil, fmt.Errorf("after %d readings: %w", taken, err)
		}
		var each reading
		if json.Unmarshal(message.Value, &each) != nil || each.DeviceID == "" {
			continue
		}
		if each.TimeStamp == "" {
			each.TimeStamp = strconv.FormatInt(time.Now().UnixMilli(), 10)
		}
		fmt.Fprintf(&csv, "%s,%s,%.1f,%.1f,%.1f,%.1f\n",
			each.DeviceID, each.TimeStamp, each.Current, each.Temperature, each.Vibration, each.Sound)
		taken++
	}
	name := "raw_sensor_training_data_" + stamp()
	answer, err := send(upload, name, []byte(csv.String()))
	if err != nil {
		return nil, err
	}
	message := fmt.Sprintf(`{"command": "extract-data", "payload" : "%s"}`, name)
	return answer.with("file", name), say(broker, controls, message)
}

// Processes the oldest extract-data message: labels each row of its file randomly, and removes the header.
func extract(arguments []string) (any, error) {
	broker, controls, raw, normalized := arguments[0], arguments[1], arguments[2], arguments[3]
	source, err := reader(broker, controls)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	limit, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	var told control
	for told.Command != "extract-data" {
		message, err := source.ReadMessage(limit)
		if err != nil {
			return nil, err
		}
		told = controlIn(message.Value)
	}
	answer, err := client.Get(raw + told.Payload)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	csv, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s: %s %v", raw, told.Payload, answer.Status, err)
	}
	var rows strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(string(csv)), "\n")[1:] {
		fmt.Fprintf(&rows, "%s,%d\n", line, rand.Intn(2))
	}
	name := "normalized_training_data_" + stamp()
	sent, err := send(normalized, name, []byte(rows.String()))
	return sent.with("file", name).with("from", told.Payload), err
}

// A file name in local time, followed by the milliseconds since 1970.
func stamp() string {
	now := time.Now()
	return fmt.Sprintf("%s:%d.csv", now.Format("2006-01-02T15:04:05"), now.UnixMilli())
}

// The response to an upload.
type answered map[string]any

func (told answered) with(name string, value any) answered {
	told[name] = value
	return told
}

func send(url, name string, content []byte) (answered, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		return answered{}, err
	}
	part.Write(content)
	form.Close()
	answer, err := client.Post(url, form.FormDataContentType(), &body)
	if err != nil {
		return answered{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answered{"status": answer.StatusCode, "length": answer.ContentLength, "body": string(text), "protocol": answer.Proto}, err
}
