import type { DeviceMessage } from '../../../src/lib/registry/index.js';
import { moment } from '../../app/text.js';
import { Section, Tile } from '../../parts/page.js';
import { Plot } from '../../parts/plot.js';

/** What the model answered over time: its labels as stretches of colour, or its value as a line. */
export function Inferences({ messages }: { messages: readonly DeviceMessage[] }) {
  const answers = messages.map(answerOf).filter(({ time }) => Number.isFinite(time));
  const last = answers.at(-1);
  if (!last) return null;
  const latencies = answers.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  const middle = latencies[Math.floor(latencies.length / 2)] ?? 0;
  return (
    <Section title="Inferences" note={`${last.model}, since ${moment((answers[0]?.time ?? 0) * 1000)}`}>
      <div class="tiles">
        <Tile value={last.label ?? (last.value === null ? '—' : last.value.toPrecision(4))} label="now" />
        {last.score !== null && <Tile value={`${(100 * last.score).toFixed(0)} %`} label="score" />}
        <Tile value={`${middle.toFixed(1)} ms`} label="latency, median" />
        <Tile value={answers.length} label="answers" />
      </div>
      {last.label === null ? <Values answers={answers} /> : <Labels answers={answers} />}
    </Section>
  );
}

interface Answer {
  /** s since 1970 */
  time: number;
  model: string;
  label: string | null;
  value: number | null;
  score: number | null;
  latencyMs: number;
}

function answerOf({ payload }: DeviceMessage): Answer {
  const { t, model, label, voted, value, scores, latencyMs } = payload;
  const { name = '', version = '' } = (model ?? {}) as { name?: string; version?: number };
  const all = Array.isArray(scores) ? (scores as number[]) : [];
  const said = voted ?? label;
  return {
    time: Number(t) / 1000,
    model: `${name}@${version}`,
    label: typeof said === 'string' ? said : null,
    value: typeof value === 'number' ? value : null,
    score: typeof said === 'string' && all.length > 0 ? Math.max(...all) : null,
    latencyMs: Number(latencyMs),
  };
}

function Values({ answers }: { answers: readonly Answer[] }) {
  return (
    <Plot
      clock
      height={180}
      label="the model's value"
      series={[{ label: 'value' }]}
      data={[answers.map(({ time }) => time), answers.map(({ value }) => value)]}
    />
  );
}

/** A row for each label; a stretch where it was answered. */
function Labels({ answers }: { answers: readonly Answer[] }) {
  const begin = answers[0]?.time ?? 0;
  const end = Math.max(answers.at(-1)?.time ?? 0, begin + 1);
  const stretches: { label: string; from: number; to: number }[] = [];
  for (const [i, { time, label }] of answers.entries()) {
    const before = stretches.at(-1);
    const next = Math.min(answers[i + 1]?.time ?? time, time + 5);
    if (before?.label === label && before.to >= time - 0.001) before.to = next;
    else stretches.push({ label: label ?? '', from: time, to: next });
  }
  const labels = [...new Set(stretches.map(({ label }) => label))].sort();
  const share = (label: string) => answers.filter((one) => one.label === label).length / answers.length;
  const at = (time: number) => `${(100 * (time - begin)) / (end - begin)}%`;
  return (
    <table class="stretches">
      <caption class="unseen">When the model answered which label</caption>
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
