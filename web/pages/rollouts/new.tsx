import { useSignal } from '@preact/signals';
import type { RolloutPlan } from '../../../src/lib/api/index.js';
import type { RolloutRequest } from '../../../src/lib/api/rollouts/schema.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { goTo, linkTo, route } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Field } from '../../parts/field.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { Plan } from './plan.js';
import { flagsOf, PolicyFields, type PolicyTexts, policyNames, policyOf, usualTexts } from './policy.js';
import { Rehearsal } from './rehearsal.js';

/** A version that the form rolls out. */
interface Chosen {
  kind: 'model' | 'firmware';
  name: string;
  version: string;
}

type Texts = PolicyTexts & { selector: string };

/** The form for a rollout of a model or firmware. The rollout can start only after its plan has been shown. */
export function NewRollout() {
  const { query } = route.value;
  const chosen = useSignal<Chosen | null>(chosenIn(query));
  const texts = useSignal<Texts>({
    ...usualTexts(),
    selector: query.get('selector') ?? '',
  });
  const plan = useSignal<{ plan: RolloutPlan; key: string } | null>(null);
  const busy = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  const version = useVersion(chosen.value);

  const above = { title: 'Rollouts', to: linkTo(['rollouts']) };
  const line = commandOf('start', chosen.value, texts.value);
  if (!mayChange()) {
    return (
      <Page title="New rollout" above={above} command={line}>
        <p>Your token does not permit rollouts. Ask an operator.</p>
      </Page>
    );
  }
  /** A plan is valid only for the fields for which it was made. */
  const edit = (change: () => void) => {
    change();
    plan.value = null;
    error.value = undefined;
  };
  const run = async (task: () => Promise<void>) => {
    busy.value = true;
    error.value = undefined;
    await task().catch((reason: ApiError) => {
      error.value = reason;
    });
    busy.value = false;
  };
  const planIt = (event: Event) => {
    event.preventDefault();
    const request = version.sequence === null ? null : requestOf(chosen.value, version.sequence, texts.value);
    if (request === null) return;
    const asked = [chosen.value, texts.value] as const;
    const isCurrent = () => chosen.value === asked[0] && texts.value === asked[1];
    void run(async () => {
      const made = await send(at('POST /rollouts/plan', {}), request).catch((reason: ApiError) => {
        if (isCurrent()) throw reason;
        return null;
      });
      if (made && isCurrent()) plan.value = { plan: made, key: crypto.randomUUID() };
    });
  };
  const start = () =>
    run(async () => {
      if (!plan.value) return;
      const { plan: made, key } = plan.value;
      const { id } = await send(at('POST /rollouts', {}), made.request, key).catch((reason: ApiError) => {
        // Other devices match now, so the plan that was shown is no longer the one that would start.
        if (reason.code === 'AIOT_ROLLOUT_PLAN') plan.value = null;
        throw reason;
      });
      goTo(linkTo(['rollouts', id]));
    });
  const set = (field: keyof Texts) => (text: string) =>
    edit(() => {
      texts.value = { ...texts.value, [field]: text };
    });
  const ready = version.sequence !== null && !version.mustBeSigned;
  return (
    <Page title="New rollout" above={above} command={line}>
      <form onSubmit={planIt}>
        <Section title="Release and devices">
          <div class="form">
            <ReleaseFields
              chosen={chosen.value}
              onChange={(next) =>
                edit(() => {
                  chosen.value = next;
                })
              }
            />
            <div class="field long">
              <Field
                id="rollout-selector"
                name="Selector"
                property={{
                  type: 'string',
                  description:
                    'The devices: all, names separated by commas, or an expression such as site=lab.',
                }}
                required
                value={texts.value.selector}
                onChange={set('selector')}
              />
            </div>
          </div>
          {chosen.value && version.mustBeSigned && <MustBeSigned line={line} />}
          {version.error && <Failure error={version.error} />}
        </Section>
        <Section title="Waves and limits" note="the defaults are those of aiot rollout start">
          <div class="form">
            <PolicyFields
              names={policyNames}
              texts={texts.value}
              onChange={(field, text) => set(field)(text)}
            />
          </div>
        </Section>
        {error.value && <Failure error={error.value} />}
        {plan.value && <Plan plan={plan.value.plan} />}
        <div class="choices">
          <button type="submit" disabled={!ready || busy.value}>
            Plan
          </button>
          <button type="button" class="primary" disabled={plan.value === null || busy.value} onClick={start}>
            {plan.value === null
              ? 'Start'
              : `Start on ${plural(plan.value.plan.waves.flat().length, 'device')}`}
          </button>
        </div>
        {plan.value === null && ready && (
          <p class="soft">
            Plan the rollout to see its devices and waves, and to rehearse it. Then you can start it.
          </p>
        )}
      </form>
      {plan.value && <Rehearsal plan={plan.value.plan} key={plan.value.key} />}
    </Page>
  );
}

/** The name and the version of a model or of firmware. */
function ReleaseFields({ chosen, onChange }: { chosen: Chosen | null; onChange: (next: Chosen) => void }) {
  const models = useResource(at('GET /models', {}), { all: 'models', events: ['model.*'] });
  const firmware = useResource(at('GET /firmware', {}), { all: 'firmware', events: ['firmware.*'] });
  const versions = useVersions(chosen);
  const error = models.error ?? firmware.error;
  if (error) return <Failure error={error} />;
  if (!models.value || !firmware.value) return <Loading />;
  const all = [
    ...models.value.map(({ name, latest }) => ({ kind: 'model' as const, name, latest: latest.version })),
    ...firmware.value.map(({ name, latest }) => ({
      kind: 'firmware' as const,
      name,
      latest: latest.version,
    })),
  ];
  const kinds = [
    ['model', 'Models'],
    ['firmware', 'Firmware'],
  ] as const;
  if (all.length === 0) {
    return (
      <div class="field long">
        <p>There is no model or firmware to roll out yet.</p>
        <Command line="aiot model push" label="Next step" />
      </div>
    );
  }
  return (
    <>
      <div class="field">
        <label for="rollout-release">Release</label>
        <select
          id="rollout-release"
          required
          value={chosen ? `${chosen.kind} ${chosen.name}` : ''}
          onChange={({ currentTarget }) => {
            const found = all.find(({ kind, name }) => `${kind} ${name}` === currentTarget.value);
            if (found) onChange({ ...found, version: String(found.latest) });
          }}
        >
          <option value="">Choose …</option>
          {kinds.map(([kind, title]) => (
            <optgroup key={kind} label={title}>
              {all
                .filter((each) => each.kind === kind)
                .map(({ name }) => (
                  <option key={name} value={`${kind} ${name}`}>
                    {name}
                  </option>
                ))}
            </optgroup>
          ))}
        </select>
      </div>
      {chosen && (
        <div class="field">
          <label for="rollout-version">Version</label>
          <select
            id="rollout-version"
            value={chosen.version}
            onChange={({ currentTarget }) => onChange({ ...chosen, version: currentTarget.value })}
          >
            {versions.map(({ version, stage }) => (
              <option key={version} value={String(version)}>
                {version}
                {stage && stage !== 'none' ? ` (${stage})` : ''}
              </option>
            ))}
          </select>
        </div>
      )}
    </>
  );
}

function MustBeSigned({ line }: { line: string }) {
  return (
    <div class="broken" role="status">
      <p>
        A newer release has been signed since, so devices may reject this version. Your key, which the
        platform does not have, must sign it again. The command does so, and starts the rollout:
      </p>
      <Command line={line} label="Next step" />
    </div>
  );
}

/** The versions of the chosen release, newest first. */
function useVersions(
  chosen: Chosen | null,
): readonly { version: number; sequence: number; stage?: string }[] {
  const [model, firmware] = placesOf(chosen);
  const models = useResource(model === null ? null : at('GET /models/:name', { name: model }), {
    all: 'versions',
  });
  const images = useResource(firmware === null ? null : at('GET /firmware/:name', { name: firmware }), {
    all: 'versions',
  });
  return models.value ?? images.value ?? [];
}

/** The sequence number of the chosen version, and whether it must be signed again, because devices accept only increasing numbers. */
function useVersion(chosen: Chosen | null) {
  const versions = useVersions(chosen);
  const [model, firmware] = placesOf(chosen);
  const events = ['model.*', 'firmware.*'];
  const models = useResource(model === null ? null : at('GET /models/:name/next', { name: model }), {
    events,
  });
  const images = useResource(firmware === null ? null : at('GET /firmware/:name/next', { name: firmware }), {
    events,
  });
  const next = (models.value ?? images.value)?.sequence;
  const found = versions.find(({ version }) => String(version) === chosen?.version);
  return {
    sequence: found && next !== undefined ? found.sequence : null,
    mustBeSigned: found !== undefined && next !== undefined && found.sequence + 1 !== next,
    error: models.error ?? images.error,
  };
}

/** The name as a model's and as firmware's, of which one is null. */
function placesOf(chosen: Chosen | null): [model: string | null, firmware: string | null] {
  return [chosen?.kind === 'model' ? chosen.name : null, chosen?.kind === 'firmware' ? chosen.name : null];
}

function chosenIn(query: URLSearchParams): Chosen | null {
  for (const kind of ['model', 'firmware'] as const) {
    const [name = '', version = ''] = (query.get(kind) ?? '').split('@');
    if (name !== '' && version !== '') return { kind, name, version };
  }
  return null;
}

function requestOf(chosen: Chosen | null, sequence: number, texts: Texts): RolloutRequest | null {
  if (!chosen) return null;
  const { kind, name, version } = chosen;
  return {
    releases: [{ kind, name, version: Number(version), sequence }],
    selector: texts.selector.trim(),
    policy: policyOf(texts),
  };
}

/** The equivalent command, with the flags that differ from the defaults. */
function commandOf(verb: 'start' | 'plan', chosen: Chosen | null, texts: Texts): string {
  const release = chosen
    ? `--${chosen.kind} ${shellWord(`${chosen.name}@${chosen.version}`)}`
    : '--model NAME@VERSION';
  const selector = texts.selector.trim() === '' ? 'SELECTOR' : shellWord(texts.selector.trim());
  return [`aiot rollout ${verb}`, release, `--selector ${selector}`, ...flagsOf(policyNames, texts)].join(
    ' ',
  );
}
