package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// The guide's three services, served by its library: file servers with uploads, and the list of devices. They use HTTPS without
// authentication, and have the original's defect that an upload overwrites only the beginning of an existing file.
func serve(arguments []string) (any, error) {
	devices, models, datasets, certificate, key, folder := arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]
	registry := filepath.Join(folder, "deviceRegistry")
	store := filepath.Join(folder, "model_store")
	raw := filepath.Join(folder, "raw_training_data")
	for _, each := range []string{registry, raw,
		filepath.Join(store, "full"), filepath.Join(store, "quantized"),
		filepath.Join(store, "normalized_training_data"), filepath.Join(store, "OTA_bin"),
	} {
		if err := os.MkdirAll(each, 0o755); err != nil {
			return nil, err
		}
	}
	failed := make(chan error)
	listen := func(port string, mux *http.ServeMux) {
		go func() { failed <- http.ListenAndServeTLS("127.0.0.1:"+port, certificate, key, mux) }()
	}
	listen(devices, devicesIn(registry))
	listen(models, filesIn(store, map[string]string{
		"/uploadModel":          "full",
		"/uploadQuantizedModel": "quantized",
		"/uploadNormalizedData": "normalized_training_data",
	}))
	listen(datasets, filesIn(raw, map[string]string{"/upload": "."}))
	return nil, <-failed
}

func filesIn(folder string, uploads map[string]string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(folder)))
	for path, into := range uploads {
		target := filepath.Join(folder, into)
		mux.HandleFunc(path, func(answer http.ResponseWriter, request *http.Request) {
			if request.Method != http.MethodPost {
				http.Error(answer, "Method not allowed", http.StatusMethodNotAllowed)
				return
			}
			file, header, err := request.FormFile("file")
			if err != nil {
				panic(err)
			}
			defer file.Close()
			kept, err := os.OpenFile(filepath.Join(target, filepath.Base(header.Filename)), os.O_WRONLY|os.O_CREATE, 0o644)
			if err == nil {
				defer kept.Close()
				io.Copy(kept, file)
			}
		})
	}
	return mux
}

func devicesIn(folder string) *http.ServeMux {
	file := filepath.Join(folder, "device_registry.dat")
	var turn sync.Mutex
	known := func() string {
		text, _ := os.ReadFile(file)
		return "\n" + string(text)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(folder)))
	mux.HandleFunc("/provisionDevice", func(answer http.ResponseWriter, request *http.Request) {
		turn.Lock()
		defer turn.Unlock()
		text := known()[1:] + request.FormValue("device_id") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("/confirmActivation", func(answer http.ResponseWriter, request *http.Request) {
		turn.Lock()
		defer turn.Unlock()
		word := "FALSE"
		if id := request.FormValue("device_id"); strings.Contains(known(), "\n"+id+"\n") {
			word = "TRUE"
		}
		fmt.Fprint(answer, word)
	})
	return mux
}
