"""Runs SavedModels in TensorFlow, and the guide's quantize step on a registry.

argv[1]: a JSON list of folders; each has `model/saved_model.pb` and `input` (float32, run by run), and receives `output` (float32).
argv[2], if given: the URL of a model registry. Every zip in its /full/ is fetched, unpacked, converted unchanged, and the result
uploaded to /uploadQuantizedModel. stdout: a JSON list of {zip, tflite, inputs, outputs}, the last two with names and shapes.
"""
import io
import json
import os
import sys
import tempfile
import zipfile
from xml.dom import minidom

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Uses TensorFlow's own simpler kernels, because those of oneDNN run only on Intel processors.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import numpy
import requests
import tensorflow

requests.packages.urllib3.disable_warnings()


def answers(folder):
    serving = tensorflow.saved_model.load(os.path.join(folder, "model")).signatures["serving_default"]
    ((name, spec),) = serving.structured_input_signature[1].items()
    rows = numpy.fromfile(os.path.join(folder, "input"), numpy.float32).reshape([-1, *spec.shape])
    made = [serving(**{name: tensorflow.constant(row)}) for row in rows]
    assert all(tuple(value.shape) == tuple(serving.structured_outputs[key].shape) for key, value in made[0].items())
    numpy.concatenate([value.numpy().flatten() for each in made for value in each.values()]).tofile(os.path.join(folder, "output"))


def quantize(base):
    """Converts like the guide: the folder of a zip's first file is the model's folder, and the converter has default settings."""
    done = []
    listing = minidom.parseString(requests.get(base + "/full", verify=False).content)
    for number, link in enumerate(listing.getElementsByTagName("a")):
        href = link.getAttribute("href")
        archive = zipfile.ZipFile(io.BytesIO(requests.get(base + "/full/" + href, verify=False).content))
        with tempfile.TemporaryDirectory() as folder:
            archive.extractall(folder)
            model = os.path.join(folder, os.path.dirname(archive.namelist()[0]))
            signature = tensorflow.saved_model.load(model).signatures["serving_default"]
            tflite = tensorflow.lite.TFLiteConverter.from_saved_model(model).convert()
        name = f"2022-05-06-20:36:{number:02}-model.tflite"
        sent = requests.post(base + "/uploadQuantizedModel", files={"file": (name, tflite)}, verify=False)
        assert sent.ok, sent.text
        inputs = {key: list(spec.shape) for key, spec in signature.structured_input_signature[1].items()}
        outputs = {key: list(spec.shape) for key, spec in signature.structured_outputs.items()}
        done.append({"zip": link.firstChild.nodeValue, "tflite": name, "inputs": inputs, "outputs": outputs})
    return done


with open(sys.argv[1]) as jobs:
    for job in json.load(jobs):
        answers(job)
print(json.dumps(quantize(sys.argv[2]) if len(sys.argv) > 2 else []))
