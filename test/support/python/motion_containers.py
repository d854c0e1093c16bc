"""
Substitutes for the containers of the motion system. Like the originals, they use nats-py 2.3.1 with durable pull consumers, no
acknowledgments, plain text and pandas tables. Usage: `motion_containers.py ROLE [COUNT] [FILE]`; each prints its results as lines of JSON.
NATS_ADDRESS is HOST:PORT, NATS_TOKEN the token, NATS_CA the CA, with the server name `nats`.
"""

import asyncio
import base64
import csv
import io
import json
import os
import ssl
import sys

import nats

STREAM = "RPI"


async def connected():
    context = ssl.create_default_context(cafile=os.environ["NATS_CA"])
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    server = f"nats://{os.environ['NATS_TOKEN']}@{os.environ['NATS_ADDRESS']}"
    return await nats.connect(server, tls=context, tls_hostname="nats")


def say(**what):
    print(json.dumps(what), flush=True)


async def pull(js, subject):
    return await js.pull_subscribe(subject, durable=f"{STREAM}-sub-{subject}", stream=STREAM)


async def sensor(js, count, file):
    """Publishes three messages per sample, and waits for the acknowledgment of each."""
    with open(file, newline="") as lines:
        rows = list(csv.DictReader(lines))[:count]
    for row in rows:
        for axis in ("x", "y", "z"):
            text = str(float(row[axis]))
            await js.publish(axis, text.encode(), headers={"Nats-Expected-Stream": STREAM})
    say(published=len(rows))


async def extractor(js, count, file):
    """Reads one window of at most 500 waiting values per axis, and publishes a table with COUNT feature columns from FILE."""
    import pandas as pd

    subscriptions = [await pull(js, axis) for axis in ("x", "y", "z")]
    say(ready=True)
    columns = {}
    for axis, subscription in zip(("x", "y", "z"), subscriptions):
        messages = await subscription.fetch(500)
        columns[f"acc_{axis}"] = [message.data.decode() for message in messages]
        say(axis=axis, texts=columns[f"acc_{axis}"], headers=messages[0].headers)
    frame = pd.DataFrame(columns).astype(float)
    say(rows=len(frame))
    table = pd.read_csv(file).iloc[:1, :count]
    text = table.to_json(orient="split")
    await js.publish(
        "feats", base64.b64encode(text.encode("utf-8")), headers={"Nats-Expected-Stream": STREAM}
    )


def figures(frame):
    """Calculates some of the 115 columns only with numpy."""
    import numpy as np

    said = {}
    axes = {axis: frame[axis].to_numpy() for axis in ("x", "y", "z")}
    n = len(frame)
    for axis, s in axes.items():
        spectrum = np.abs(np.fft.fft(s)) / n
        spectrum[1 : n // 2 + 1] *= 2
        spectrum[n // 2 + 1 :] = 0
        hertz = np.arange(n) * 100 / n
        steps = np.diff(s)
        signs = np.sign(s)
        centred = s - s.mean()
        power = np.abs(np.fft.rfft(centred)) ** 2
        power[1:-1] *= 2
        share = power / power.sum()
        share = share[share > 0]
        said |= {
            f"acc_{axis}_mpf": (spectrum * hertz).sum() / spectrum.sum(),
            f"acc_{axis}_wilson_amp": np.sign(np.abs(steps) - 0.05).sum(),
            f"acc_{axis}_rms": np.sqrt((s**2).mean()),
            f"acc_{axis}_stdev": s.var(ddof=1),
            f"acc_{axis}_mean": s.mean(),
            f"acc_{axis}_mad": np.median(np.abs(s - np.median(s))),
            f"acc_{axis}_zerocr": np.count_nonzero(np.diff(signs)),
            f"acc_{axis}_slope_change": np.count_nonzero(np.diff(signs)),
            f"acc_{axis}_wf": np.abs(steps).sum(),
            f"acc_{axis}_mav": np.abs(s).sum(),
            f"acc_{axis}_p2p": s.max() - s.min(),
            f"acc_{axis}_entropy": -(share * np.log2(share)).sum(),
            f"acc_{axis}_kurtosis_t": (centred**4).mean() / s.var() ** 2,
            f"acc_{axis}_skewness_t": (centred**3).mean() / s.var() ** 1.5,
            f"acc_{axis}_kurtosis_f": ((spectrum - spectrum.mean()) ** 4).mean() / spectrum.var() ** 2,
        }
    for name, a, b in (("x", "x", "y"), ("y", "x", "z"), ("z", "y", "z")):
        said[f"acc_{name}_crossco"] = np.dot(axes[a], axes[b])
        said[f"acc_{name}_corecoef"] = np.corrcoef(axes[a], axes[b])[0, 1]
    said["acc_mpf"] = sum(np.abs(s).sum() for s in axes.values()) / n
    return said


async def predictor(js, count, file):
    """Compares COUNT tables, by column name, with features calculated from FILE; uses 60 columns of each, and publishes a plain label."""
    import pandas as pd

    subscription = await pull(js, "feats")
    say(ready=True)
    samples = pd.read_csv(file) if file else None
    for number in range(count):
        [message] = await subscription.fetch(1, timeout=20)
        text = base64.b64decode(message.data).decode("utf-8")
        frame = pd.read_json(io.StringIO(text), orient="split")
        kept = frame.drop(columns=list(frame.columns[60:]))
        worst = 0.0
        if samples is not None:
            for name, value in figures(samples.iloc[500 * number : 500 * (number + 1)]).items():
                worst = max(worst, abs(frame[name].iloc[0] - value) / max(1e-6, abs(value)))
        say(
            columns=list(frame.columns),
            shape=list(kept.to_numpy().reshape(1, 60).shape),
            members=list(json.loads(text)),
            index=list(frame.index),
            worst=worst,
            headers=message.headers,
        )
        await js.publish("predictions", b"walking", headers={"Nats-Expected-Stream": STREAM})


async def output(js, count, file):
    """Receives COUNT labels and forwards each."""
    subscription = await pull(js, "predictions")
    say(ready=True)
    for _ in range(count):
        [message] = await subscription.fetch(1, timeout=20)
        say(label=message.data.decode(), headers=message.headers)
        await js.publish("output", message.data, headers={"Nats-Expected-Stream": STREAM})


async def listen(js, count, file):
    """Receives COUNT messages on `output`."""
    subscription = await pull(js, "output")
    say(ready=True)
    for _ in range(count):
        [message] = await subscription.fetch(1, timeout=20)
        say(label=message.data.decode(), headers=message.headers)


async def main():
    role, count, file = [*sys.argv[1:], None][:3]
    connection = await connected()
    try:
        await globals()[role](connection.jetstream(), int(count), file)
    finally:
        await connection.close()


asyncio.run(main())
