import { type Signal, useSignal } from '@preact/signals';
import { useId } from 'preact/hooks';
import type { LabelsRequest, RecordingShown } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { mayChange } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Failure, Section } from '../../parts/page.js';
import type { Extent } from '../../parts/plot.js';
import { When } from '../../parts/when.js';

/** The labeled span, in ms of the device's clock; null = the whole recording. */
type Part = { from: number; to: number } | null;

interface LabelsProps {
  place: { stream: string; device: string; recording: string };
  shown: RecordingShown;
  /** Labels of the model that suggests recordings, which are offered as buttons. */
  words: readonly string[];
  /** Start of the recording, s. */
  start: number;
  /** The span selected by dragging, s. */
  span: Signal<Extent | null>;
  given: () => void;
}

/** The labels of a recording. Users with permission can add and remove labels, and undo a change. */
export function Labels({ place, shown, words, start, span, given }: LabelsProps) {
  const { stream, device, recording } = place;
  const failed = useSignal<ApiError | undefined>(undefined);
  const undo = useSignal<{ what: string; part: Part; before: string | null } | null>(null);
  const label = async (part: Part, word: string | null, { takenBack = false } = {}) => {
    const before = wordOn(shown, part);
    const body: LabelsRequest = { labels: [{ device, recording, label: word, ...part }] };
    try {
      await send(at('POST /datasets/:stream/labels', { stream }), body);
      failed.value = undefined;
      span.value = null;
      const what = word === null ? `Removed ${before}` : `Labeled ${word}`;
      undo.value = takenBack ? null : { what, part, before };
      given();
    } catch (error) {
      failed.value = error as ApiError;
    }
  };
  const rows: { part: Part; word: string }[] = [
    ...(shown.label === null ? [] : [{ part: null, word: shown.label }]),
    ...shown.parts.map(({ from, to, label: word }) => ({ part: { from, to }, word })),
  ];
  return (
    <Section title="Labels">
      {rows.length === 0 && <p class="soft">No labels yet.</p>}
      {rows.length > 0 && (
        <ul class="plain labels">
          {rows.map(({ part, word }) => (
            <li key={`${part?.from}-${part?.to}`}>
              <strong>{word}</strong> <span class="soft">{partText(part, start)}</span>
              {mayChange() && (
                <button
                  type="button"
                  class="quiet"
                  aria-label={`Remove ${word}, ${partText(part, start)}`}
                  onClick={() => label(part, null)}
                >
                  Remove
                </button>
              )}
            </li>
          ))}
        </ul>
      )}
      {failed.value && <Failure error={failed.value} />}
      <p role="status" class="undo">
        {undo.value && (
          <>
            {undo.value.what}.{' '}
            <button
              type="button"
              onClick={() => undo.value && label(undo.value.part, undo.value.before, { takenBack: true })}
            >
              Undo
            </button>
          </>
        )}
      </p>
      {mayChange() && <LabelForm place={place} words={words} start={start} span={span} add={label} />}
      {shown.history.length > 0 && (
        <details>
          <summary>Label history</summary>
          <ul class="plain">
            {shown.history.map(({ at, who, label: word, from, to }) => (
              <li key={`${at} ${word} ${from}`}>
                {word ?? 'label removed'}{' '}
                <span class="soft">
                  {partText(from === null || to === null ? null : { from, to }, start)} · {who},{' '}
                  <When at={at} as="ago" />
                </span>
              </li>
            ))}
          </ul>
        </details>
      )}
    </Section>
  );
}

/** The form for a label. Its span is set by dragging over the plot, or entered in seconds from the start. */
function LabelForm({
  place,
  words: offered,
  start,
  span,
  add,
}: {
  place: LabelsProps['place'];
  words: readonly string[];
  start: number;
  span: Signal<Extent | null>;
  add: (part: Part, word: string) => Promise<void>;
}) {
  const word = useSignal('');
  const list = useId();
  const known = useResource(at('GET /datasets', {}), { all: 'datasets' });
  const given = Object.keys(known.value?.find(({ name }) => name === place.stream)?.labels ?? {});
  const words = [...new Set([...offered, ...given])];
  const chosen = span.value;
  const part: Part = chosen && {
    from: Math.round(chosen[0] * 1000),
    to: Math.max(Math.round(chosen[0] * 1000) + 1, Math.round(chosen[1] * 1000)),
  };
  const edge = (which: 0 | 1) => (event: { currentTarget: HTMLInputElement }) => {
    const value = event.currentTarget.valueAsNumber;
    if (Number.isNaN(value)) return;
    const [from, to] = span.value ?? [start, start + value];
    span.value = which === 0 ? [start + value, to] : [from, start + value];
  };
  const submit = (event: Event) => {
    event.preventDefault();
    const text = word.value.trim();
    if (text !== '') void add(part, text);
  };
  const name = shellWord(`${place.stream}/${place.device}/${place.recording}`);
  const times = part ? ` --from ${timeWord(part.from)} --to ${timeWord(part.to)}` : '';
  return (
    <>
      <form class="give" onSubmit={submit}>
        <label>
          Label
          <input
            list={list}
            required
            maxLength={256}
            value={word.value}
            onInput={({ currentTarget }) => {
              word.value = currentTarget.value;
            }}
          />
        </label>
        <datalist id={list}>
          {words.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <label>
          for
          <select
            value={chosen ? 'part' : 'whole'}
            onChange={({ currentTarget }) => {
              span.value = currentTarget.value === 'part' ? [start, start + 1] : null;
            }}
          >
            <option value="whole">the whole recording</option>
            <option value="part">a part</option>
          </select>
        </label>
        {chosen && (
          <>
            <label>
              from, s
              <input type="number" step="any" value={relative(chosen[0], start)} onChange={edge(0)} />
            </label>
            <label>
              to, s
              <input type="number" step="any" value={relative(chosen[1], start)} onChange={edge(1)} />
            </label>
          </>
        )}
        <button type="submit" class="primary">
          Add label
        </button>
      </form>
      {offered.length > 0 && (
        <p class="words">
          <span class="soft">The model’s labels:</span>
          {offered.map((one) => (
            <button key={one} type="button" onClick={() => void add(part, one)}>
              {one}
            </button>
          ))}
        </p>
      )}
      {word.value.trim() !== '' && (
        <Command line={`aiot data label ${name} ${shellWord(word.value.trim())}${times}`} />
      )}
    </>
  );
}

function wordOn({ label, parts }: RecordingShown, part: Part): string | null {
  if (!part) return label;
  return parts.find(({ from, to }) => from === part.from && to === part.to)?.label ?? null;
}

function relative(seconds: number, start: number): number {
  return Number((seconds - start).toFixed(3));
}

function partText(part: Part, start: number): string {
  if (!part) return 'the whole recording';
  return `${relative(part.from / 1000, start)} s to ${relative(part.to / 1000, start)} s`;
}

/**
 * A time in the form that the command line accepts. Small numbers, which are from a device clock that counts from boot, stay in ms.
 */
function timeWord(ms: number): string {
  return ms > 1e12 ? new Date(ms).toISOString() : String(ms);
}
