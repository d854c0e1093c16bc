import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import type { DeviceInfo, DeviceMessage } from '../../../src/lib/api/index.js';
import { at, get } from '../../app/api.js';
import { onDevice } from '../../app/live.js';
import { shellWord } from '../../app/text.js';
import { Empty, Section } from '../../parts/page.js';
import { Plot } from '../../parts/plot.js';
import { Inferences } from './inferences.js';
import { Samples } from './samples.js';

/** Time span of the plots, s. */
const shownSeconds = 10;
/** Maximum number of inferences stored in the page. */
const mostInferences = 1800;

/** Live data from the device: telemetry as moving plots, and its model's predictions. */
export function Live({ device: { name, online } }: { device: DeviceInfo }) {
  const streams = useMemo(() => new Map<string, Samples>(), [name]);
  const names = useSignal<readonly string[]>([]);
  const inferences = useSignal<readonly DeviceMessage[]>([]);
  const asked = useSignal(false);

  useEffect(() => {
    const add = (message: DeviceMessage, now?: number) => {
      const stream = message.stream ?? '';
      const samples = streams.get(stream) ?? new Samples(2 * shownSeconds);
      if (!streams.has(stream)) {
        streams.set(stream, samples);
        names.value = [...streams.keys()].sort();
      }
      samples.add(message, now);
    };
    const waiting: DeviceMessage[] = [];
    const keep = (messages: readonly DeviceMessage[]) => {
      inferences.value = [...inferences.value, ...messages].slice(-mostInferences);
    };
    const end = onDevice(name, ['telemetry', 'inference'], (channel, message) => {
      if (channel === 'inference') keep([message]);
      else if (asked.value) add(message, Date.now() / 1000);
      else waiting.push(message);
    });
    void recent(name, 'telemetry', 2 * shownSeconds * 1000)
      .then((messages) => {
        for (const message of messages) add(message);
      })
      .catch(() => {})
      .then(() => {
        asked.value = true;
        for (const message of waiting) add(message, Date.now() / 1000);
      });
    void recent(name, 'inference', 600_000).then(keep, () => {});
    return end;
  }, [name]);

  if (asked.value && names.value.length === 0 && inferences.value.length === 0) {
    return (
      <Empty
        title={online ? 'No telemetry in the last 20 seconds' : 'The device is offline'}
        command={`aiot device simulate ${shellWord(name)} --motor healthy --for 60s`}
      >
        <p>Telemetry is plotted here as it arrives. To send some from a virtual device, run:</p>
      </Empty>
    );
  }
  return (
    <>
      {names.value.map((stream) => (
        <Section key={stream} title={stream === '' ? 'Telemetry' : stream} note={`last ${shownSeconds} s`}>
          <LivePlot samples={streams.get(stream) as Samples} label={`${stream} of ${name}, live`} />
        </Section>
      ))}
      {inferences.value.length > 0 && <Inferences messages={inferences.value} />}
    </>
  );
}

async function recent(name: string, channel: string, ms: number): Promise<DeviceMessage[]> {
  const query = { channel, limit: 2000, since: Date.now() - ms };
  return (await get(at('GET /devices/:name/messages', { name }, query))).messages;
}

/** A plot that moves with each animation frame. */
function LivePlot({ samples, label }: { samples: Samples; label: string }) {
  const edge = useSignal(samples.edge(Date.now() / 1000));
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      edge.value = samples.edge(Date.now() / 1000);
      frame = requestAnimationFrame(draw);
    };
    draw();
    return () => cancelAnimationFrame(frame);
  }, [samples]);
  const series = [...samples.columns.keys()].map((name) => ({ label: name }));
  return (
    <Plot
      clock
      label={label}
      series={series}
      data={[samples.times, ...samples.columns.values()]}
      view={[edge.value - shownSeconds, edge.value]}
    />
  );
}
