"""The guide's Python steps and its board, as seen on the wire. They use the guide's client libraries in the versions of that time.

Written for the tests from the known contract, without any of the guide's code. Server certificates are not verified, as in the guide.
Each step prints its result as one line of JSON.

  drift     KAFKA DATA_URL THRESHOLD       reads all files of the folder; sends "train-model" if more rows than that are outliers
  train     KAFKA DATA_URL UPLOAD_URL      trains a model on the first file, uploads a SavedModel in a zip (TensorFlow)
  quantize  KAFKA MODELS_URL UPLOAD_URL    converts each zip to a .tflite, and sends "download-model"      (TensorFlow)
  infer     MODELS_URL                     downloads the last entry of the listing, as the Coral does
  board     ID DEVICES_URL MODELS_URL MQTT READINGS
            activates, sends readings, and downloads the model of the first download-model; lists received messages

`train` and `quantize` run in TensorFlow's Python environment; GUIDE_LIBRARIES is then the folder with the old kafka-python.
"""
import io
import json
import os
import shutil
import ssl
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
import zipfile
from datetime import datetime
from xml.dom import minidom

if "GUIDE_LIBRARIES" in os.environ:
    sys.path.append(os.environ["GUIDE_LIBRARIES"])
warnings.simplefilter("ignore")
context = ssl._create_unverified_context()
control_topic = "control-message"


def get(url):
    """Returns the bytes of the response, and the URL after redirects."""
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return answer.read(), answer.url


def links(url):
    """Returns (reference, text) for each entry of the listing, which is XML."""
    page, end = get(url)
    found = minidom.parseString(page).getElementsByTagName("a")
    return [(link.getAttribute("href"), link.childNodes[0].nodeValue) for link in found], end


def say(broker, command, payload):
    """Sends a message with a kafka-python from 2020, which first queries the broker's version."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=broker, value_serializer=lambda value: json.dumps(value).encode("utf-8"))
    where = producer.send(control_topic, {"command": command, "payload": payload}).get(20)
    producer.close()
    assert where.partition == 0, where


def upload(url, name, content):
    import requests

    sent = requests.post(url, files={"file": (name, content)}, verify=False, timeout=20)
    return {"status": sent.status_code, "body": sent.text, "length": sent.headers.get("content-length")}


def now():
    return datetime.now().strftime("%Y-%m-%d-%H:%M:%S")


def drift(broker, url, threshold):
    entries, _ = links(url)
    rows = []
    for href, _ in entries:
        # The folder's URL already ends in a slash, so the path has two, and a dot if the name contains a colon.
        content, _ = get(url + "/" + href)
        rows += [line.split(",") for line in content.decode().splitlines()]
    columns = [[float(row[at]) for row in rows] for at in range(2, 6)]
    middles = [statistics.median(column) for column in columns]
    spreads = [statistics.median(abs(v - m) for v in c) or 1.0 for c, m in zip(columns, middles)]
    apart = sum(any(abs(c[i] - m) > 8 * s for c, m, s in zip(columns, middles, spreads)) for i in range(len(rows)))
    file = entries[-1][1]
    if apart > int(threshold):
        say(broker, "train-model", file)
    return {"files": [href for href, _ in entries], "rows": len(rows), "apart": apart, "file": file}


def train(broker, url, upload_url):
    import numpy
    import tensorflow

    entries, _ = links(url)
    # This step uses the text instead of the reference, reads only the first file, and skips the first row as a header.
    name = entries[0][1]
    content, _ = get(url + name)
    table = numpy.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1, usecols=(2, 3, 4, 5, 6))
    x, y = table[:, :4].astype("float32"), table[:, 4].astype("float32")
    layers = tensorflow.keras.layers
    model = tensorflow.keras.Sequential(
        [layers.Input((4,)), *(layers.Dense(units, activation="relu") for units in (60, 30, 10)), layers.Dense(1, activation="sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y, epochs=2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        saved = os.path.join(folder, "model")
        tensorflow.saved_model.save(model, saved)
        file = shutil.make_archive(os.path.join(folder, "archive"), "zip", folder, "model")
        with open(file, "rb") as archive:
            sent = upload(upload_url, now() + "-model.zip", archive.read())
    return {**sent, "file": name, "rows": len(table)}


def quantize(broker, url, upload_url):
    import tensorflow

    entries, end = links(url)
    sent, name = [], None
    for href, text in entries:
        content, _ = get(url + "/" + href)
        archive = zipfile.ZipFile(io.BytesIO(content))
        with tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder)
            model = os.path.join(folder, archive.namelist()[0].split("/")[0])
            tflite = tensorflow.lite.TFLiteConverter.from_saved_model(model).convert()
        name = now() + "-model.tflite"
        sent.append({**upload(upload_url, name, tflite), "of": text, "file": name, "sha256": sha256(tflite), "bytes": len(tflite)})
        # Names contain the time in whole seconds, so they must be a second apart.
        time.sleep(1.1 if len(entries) > 1 else 0)
    say(broker, "download-model", name)
    return {"sent": sent, "end": end}


def infer(url):
    entries, end = links(url)
    content, _ = get(url + "/" + entries[-1][0])
    return {"end": end, "file": entries[-1][1], "sha256": sha256(content)}


def sha256(content):
    import hashlib

    return hashlib.sha256(content).hexdigest()


def board(identity, devices, models, broker, count):
    """Acts like the firmware, with HTTP/1.1 but no HTTP/2, a form, MQTT 3.1.1 at QoS 0, and a model read according to its
    Content-Length."""
    import http.client
    from urllib.parse import urlparse

    import paho.mqtt.client as mqtt

    def ask(url, method, path, body=None, headers={}):
        place = urlparse(url)
        connection = http.client.HTTPSConnection(place.hostname, place.port, context=context, timeout=20)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer, answer.read()

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answers = []
    for path in ("/confirmActivation", "/provisionDevice", "/confirmActivation"):
        answer, body = ask(devices, "POST", path, f"device_id={identity}", form)
        answers.append([answer.status, body.decode(), answer.getheader("content-length")])
    heard, told = [], threading.Event()

    def on_message(_client, _data, message):
        control = json.loads(message.payload)
        heard.append([control["command"], control["payload"], len(message.payload)])
        if control["command"] == "download-model":
            told.set()

    place = urlparse(broker)
    client = mqtt.Client(client_id=identity, protocol=mqtt.MQTTv311, clean_session=True)
    subscribed = threading.Event()
    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(place.hostname, place.port, keepalive=15)
    client.subscribe(control_topic, 0)
    client.loop_start()
    assert subscribed.wait(20)
    for number in range(int(count)):
        # One reading in eight is an outlier.
        odd = 9.0 if number % 8 == 7 else 0.0
        reading = '{"deviceID": "%s", "current": %.2f, "temperature": %.2f, "vibration": %.2f, "sound": %.2f, "fft_data": "true"}'
        values = (0.4 + number % 5 / 100 + odd, 24.5 + number % 3 / 10, 0.25 + number % 7 / 100 + odd, 60 + number % 4)
        client.publish("shaded-pole-motor-sensor_data", reading % (identity, *values), 0)
    print(json.dumps({"sent": int(count)}), flush=True)
    assert told.wait(120), heard
    client.loop_stop()
    file = next(payload for command, payload, _ in heard if command == "download-model")
    answer, model = ask(models, "GET", "/quantized/" + file)
    head = {name: answer.getheader(name) for name in ("content-length", "transfer-encoding", "content-encoding")}
    return {"answers": answers, "heard": heard, "status": answer.status, "version": answer.version, "head": head, "sha256": sha256(model)}


print(json.dumps({"drift": drift, "train": train, "quantize": quantize, "infer": infer, "board": board}[sys.argv[1]](*sys.argv[2:])))
