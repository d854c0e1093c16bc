"""Runs the wake words of pymicro-wakeword on sounds: wake_words.py LIBRARIES; LIBRARIES is the folder of the numpy package.

stdin: a JSON list of {model, samples}; model is the name of a built-in model, samples are 16 kHz int16. Prints a JSON list with, for each
sound: `frames`, the features of pymicro-features, `means`, the mean probability after each frame, and `detected`, the frames at which the
wake word was detected.
"""
import array
import json
import sys

sys.path.append(sys.argv[1])
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model


def judged(model, samples):
    word, features = MicroWakeWord.from_builtin(Model(model)), MicroWakeWordFeatures()
    frames, means = [], []
    for frame in features.process_streaming(array.array("h", samples).tobytes()):
        frames.append(frame.ravel().tolist())
        means.append(word.process_streaming_prob(frame))
    detected = [at for at, mean in enumerate(means) if mean > word.probability_cutoff]
    return {"frames": frames, "means": means, "detected": detected}


print(json.dumps([judged(**sound) for sound in json.load(sys.stdin)]))
