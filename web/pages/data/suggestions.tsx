import { useSignal } from '@preact/signals';
import type { RankedRecording, Ranking } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { type Resource, useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Failure, Section } from '../../parts/page.js';
import { When } from '../../parts/when.js';

/** Number of suggestions shown at first. */
const few = 5;

/** The stream's recordings to label next, without those that have been labeled since. */
export function useRanking(stream: string): Resource<Ranking> {
  return useResource(at('GET /datasets/:stream/suggestions', { stream }), {
    events: ['data.*', 'dataset.*'],
  });
}

/** The recordings whose labels would improve a model most, with buttons that label them. */
export function Suggestions({ stream, unlabelled }: { stream: string; unlabelled: number }) {
  const { value, reload } = useRanking(stream);
  const all = useSignal(false);
  const failed = useSignal<ApiError | undefined>(undefined);
  const labelled = useSignal<{ of: RankedRecording; label: string } | null>(null);
  const label = async (of: RankedRecording, word: string | null) => {
    const { device, recording } = of;
    try {
      await send(at('POST /datasets/:stream/labels', { stream }), {
        labels: [{ device, recording, label: word }],
      });
      failed.value = undefined;
      labelled.value = word === null ? null : { of, label: word };
      reload();
    } catch (error) {
      failed.value = error as ApiError;
    }
  };
  const done = value?.recordings.length === 0 && unlabelled === 0;
  if (!value || (done && !labelled.value)) return null;
  const { model, recordings, labels } = value;
  const command = `aiot data suggest ${shellWord(stream)} --publish`;
  return (
    <div class="label-next">
      <Section title="Label next">
        {model === null ? (
          <>
            <p class="soft">
              To rank the unlabeled recordings by how much their labels would improve your model, run this
              command in the folder of its project:
            </p>
            <Command line={command} label="Command" />
          </>
        ) : (
          <>
            <p class="soft">
              {recordings.length === 0
                ? 'All suggested recordings are labeled. Train the model again, then rank the others.'
                : `${plural(recordings.length, 'recording')} to label next for ${model}.`}
              {value.at !== null && (
                <>
                  {' '}
                  Ranked by {value.who}, <When at={value.at} as="ago" />.
                </>
              )}
            </p>
            {failed.value && <Failure error={failed.value} />}
            {recordings.length > 0 && (
              <ol class="suggestions">
                {(all.value ? recordings : recordings.slice(0, few)).map((one) => (
                  <li key={`${one.device}/${one.recording}`}>
                    <div>
                      <a href={linkTo(['datasets', stream, one.device, one.recording])}>{one.recording}</a>{' '}
                      <span class="soft">from {one.device}</span>
                      <br />
                      <span class="grounds">{reasonOf(one)}</span>
                    </div>
                    {mayChange() && labels.length > 0 && (
                      <LabelChoice of={one} labels={labels} label={(word) => void label(one, word)} />
                    )}
                  </li>
                ))}
              </ol>
            )}
            {recordings.length > few && (
              <button
                type="button"
                class="quiet"
                onClick={() => {
                  all.value = !all.value;
                }}
              >
                {all.value ? 'Show fewer' : `Show all ${recordings.length}`}
              </button>
            )}
            <p role="status" class="undo">
              {labelled.value && (
                <>
                  Labeled {labelled.value.of.recording} as {labelled.value.label}.{' '}
                  <button type="button" onClick={() => labelled.value && void label(labelled.value.of, null)}>
                    Undo
                  </button>
                </>
              )}
            </p>
            <Command line={command} label="Update the ranking" />
          </>
        )}
      </Section>
    </div>
  );
}

/** On the page of a suggested recording: why it was suggested, and a link to the next suggestion. */
export function SuggestionNote({
  ranking: { model, recordings },
  place: { stream, device, recording },
}: {
  ranking: Ranking;
  place: { stream: string; device: string; recording: string };
}) {
  const rank = recordings.findIndex((one) => one.device === device && one.recording === recording);
  const one = recordings[rank];
  const following = recordings[rank < 0 ? 0 : rank + 1];
  if (!following && !one) return null;
  return (
    <p class="suggestion">
      {one && (
        <span>
          <strong>
            Suggestion {rank + 1} of {recordings.length}
          </strong>{' '}
          for {model}: {reasonOf(one)}.
        </span>
      )}{' '}
      {following && (
        <a href={linkTo(['datasets', stream, following.device, following.recording])}>
          Next suggestion: {following.recording}
        </a>
      )}
    </p>
  );
}

/** The reasons, with the stronger one first. */
function reasonOf({ uncertainty, novelty, predicted, similarTo }: RankedRecording): string {
  const uncertain =
    uncertainty === null || predicted === null
      ? []
      : [
          `${percent(uncertainty)} uncertain (${predicted.class} in ${percent(predicted.share)} of its windows)`,
        ];
  const unlike = [`${percent(novelty)} of its windows are unlike the training data`];
  const reasons = novelty > (uncertainty ?? 0) ? [...unlike, ...uncertain] : [...uncertain, ...unlike];
  return [...reasons, ...(similarTo === null ? [] : [`similar to ${similarTo}`])].join('; ');
}

/** Number of labels up to which each has its own button. */
const fewLabels = 4;

function LabelChoice({
  of,
  labels,
  label,
}: {
  of: RankedRecording;
  labels: readonly string[];
  label: (word: string) => void;
}) {
  const word = useSignal(of.predicted?.class ?? labels[0] ?? '');
  if (labels.length <= fewLabels)
    return (
      <div class="words">
        {labels.map((one) => (
          <button
            key={one}
            type="button"
            aria-label={`Label ${of.recording} as ${one}`}
            onClick={() => label(one)}
          >
            {one}
          </button>
        ))}
      </div>
    );
  return (
    <div class="words">
      <select
        aria-label={`Label for ${of.recording}`}
        value={word.value}
        onChange={({ currentTarget }) => {
          word.value = currentTarget.value;
        }}
      >
        {labels.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
      <button type="button" aria-label={`Label ${of.recording}`} onClick={() => label(word.value)}>
        Label
      </button>
    </div>
  );
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
