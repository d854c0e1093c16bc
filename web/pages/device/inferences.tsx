import type { DeviceMessage } from '../../../src/lib/api/index.js';
import { Section, Tile } from '../../parts/page.js';
import { Plot } from '../../parts/plot.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';

/** The model's predictions over time, with labels as colored spans and values as a line. */
export function Inferences({ messages }: { messages: readonly DeviceMessage[] }) {
  const predictions = messages.map(predictionOf).filter(({ time }) => Number.isFinite(time));
  const last = predictions.at(-1);
  if (!last) return null;
  const latencies = predictions.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  const middle = latencies[Math.floor(latencies.length / 2)] ?? 0;
  return (
    <Section
      title="Predictions"
      note={
        <>
          {last.model}, since <When at={(predictions[0]?.time ?? 0) * 1000} />
        </>
      }
    >
      <div class="tiles">
        <Tile
          value={last.label ?? (last.value === null ? '—' : last.value.toPrecision(4))}
          label="current prediction"
        />
        {last.score !== null && <Tile value={`${(100 * last.score).toFixed(0)} %`} label="score" />}
        {last.extra.map(({ name, text }) => (
          <Tile key={name} value={text} label={name} />
        ))}
        <Tile value={`${middle.toFixed(1)} ms`} label="latency, median" />
        <Tile value={predictions.length} label="predictions" />
      </div>
      {last.detections && <Objects detections={last.detections} />}
      {last.label === null ? <Values predictions={predictions} /> : <Labels predictions={predictions} />}
    </Section>
  );
}

interface Prediction {
  /** Time of the prediction, s since 1970. */
  time: number;
  model: string;
  label: string | null;
  value: number | null;
  score: number | null;
  latencyMs: number;
  /** Objects in a picture; null if the model does not find objects. */
  detections: Detection[] | null;
  /** The model's other outputs. */
  extra: { name: string; text: string }[];
}

interface Detection {
  label: string;
  x: number;
  y: number;
  confidence: number;
}

function predictionOf({ payload }: DeviceMessage): Prediction {
  const { t, model, label, voted, value, scores, latencyMs, detections, extra } = payload;
  const { name = '', version = '' } = (model ?? {}) as { name?: string; version?: number };
  const all = Array.isArray(scores) ? (scores as number[]) : [];
  const smoothed = voted ?? label;
  return {
    time: Number(t) / 1000,
    model: `${name}@${version}`,
    label: typeof smoothed === 'string' ? smoothed : null,
    value: typeof value === 'number' ? value : null,
    score: typeof smoothed === 'string' && all.length > 0 ? Math.max(...all) : null,
    latencyMs: Number(latencyMs),
    detections: Array.isArray(detections) ? (detections as Detection[]) : null,
    extra: Object.entries((extra ?? {}) as Record<string, number[]>).map(([own, values]) => ({
      name: own,
      text: values.map((one) => Number(one.toPrecision(4))).join(' '),
    })),
  };
}

const objectColumns: Column<Detection>[] = [
  { title: 'object', cell: ({ label }) => label, sort: ({ label }) => label },
  { title: 'x, pixels', cell: ({ x }) => x.toFixed(0), sort: ({ x }) => x, number: true },
  { title: 'y, pixels', cell: ({ y }) => y.toFixed(0), sort: ({ y }) => y, number: true },
  {
    title: 'confidence',
    cell: ({ confidence }) => `${(100 * confidence).toFixed(0)} %`,
    sort: ({ confidence }) => confidence,
    number: true,
  },
];

/** The objects in the newest picture, strongest first. */
function Objects({ detections }: { detections: readonly Detection[] }) {
  if (detections.length === 0) return <p>No objects in the newest picture.</p>;
  return (
    <Scroll label="Objects">
      <ShortTable
        rows={detections}
        columns={objectColumns}
        keyOf={({ x, y }) => `${x} ${y}`}
        label="Objects"
        name="objects"
      />
    </Scroll>
  );
}

function Values({ predictions }: { predictions: readonly Prediction[] }) {
  return (
    <Plot
      clock
      height={180}
      label="Predicted value"
      series={[{ label: 'predicted value' }]}
      data={[predictions.map(({ time }) => time), predictions.map(({ value }) => value)]}
    />
  );
}

/** A row for each label, with a span where it was predicted. */
function Labels({ predictions }: { predictions: readonly Prediction[] }) {
  const begin = predictions[0]?.time ?? 0;
  const end = Math.max(predictions.at(-1)?.time ?? 0, begin + 1);
  const stretches: { label: string; from: number; to: number }[] = [];
  for (const [i, { time, label }] of predictions.entries()) {
    const before = stretches.at(-1);
    const next = Math.min(predictions[i + 1]?.time ?? time, time + 5);
    if (before?.label === label && before.to >= time - 0.001) before.to = next;
    else stretches.push({ label: label ?? '', from: time, to: next });
  }
  const labels = [...new Set(stretches.map(({ label }) => label))].sort();
  const share = (label: string) =>
    predictions.filter((one) => one.label === label).length / predictions.length;
  const at = (time: number) => `${(100 * (time - begin)) / (end - begin)}%`;
  return (
    <table class="stretches">
      <caption class="unseen">Predicted labels over time</caption>
      <tbody>
        {labels.map((label, i) => (
          <tr key={label}>
            <th scope="row">{label}</th>
            <td class="number">{(100 * share(label)).toFixed(0)} %</td>
            <td>
              <svg aria-hidden="true" height="16" width="100%">
                {stretches
                  .filter((one) => one.label === label)
                  .map(({ from, to }) => (
                    <rect
                      key={from}
                      class={`series-${i % 8}`}
                      x={at(from)}
                      width={`${Math.max(0.2, (100 * (to - from)) / (end - begin))}%`}
                      y="2"
                      height="12"
                    />
                  ))}
              </svg>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
