import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { RolloutPlan, SettingsInfo } from '../../../src/lib/api/index.js';
import type { RolloutRequest } from '../../../src/lib/api/rollouts/schema.js';
import { releaseText } from '../../../src/lib/api/rollouts/words.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { goTo, here, linkTo, route } from '../../app/route.js';
import { isLimited, mayChange } from '../../app/session.js';
import { plural, shellWord } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Field, type Property, parsed } from '../../parts/field.js';
import { Empty, Failure, Loading, Page, Section } from '../../parts/page.js';
import { leavesOf, nested } from '../../parts/setting-paths.js';
import { Plan } from './plan.js';
import { flagsOf, PolicyFields, type PolicyTexts, policyNames, policyOf, usualTexts } from './policy.js';
import { Rehearsal } from './rehearsal.js';
import { Actions, Reasons, Waves } from './rollout.js';
import { toneOf, words } from './states.js';

/** Devices do not sign their settings. */
const limits = policyNames.filter((name) => name !== 'requireProof');

/** The form as typed. A setting without a text stays as it is. */
interface Typed {
  type: string;
  selector: string;
  texts: Readonly<Record<string, string>>;
  /** Settings whose overrides are removed. */
  removed: readonly string[];
  policy: PolicyTexts;
  rollsBack: boolean;
}

/** The page `#/rollouts/settings`: a form for settings of many devices, and their rollout beside it. */
export function SettingsRollout() {
  const mayStart = mayChange();
  const all = useResource(mayStart ? at('GET /settings', {}) : null, { events: ['settings.*'] });
  const definitions = all.value?.settings;
  return (
    <>
      {mayStart && definitions && definitions.length > 0 ? (
        <Form definitions={definitions} />
      ) : (
        <Page title="Roll out settings" above={above} command="aiot device settings deploy">
          {!mayChange() && <p>Your token does not permit rollouts. Ask an operator.</p>}
          {mayStart && all.error && <Failure error={all.error} />}
          {mayStart && !all.error && !definitions && <Loading />}
          {mayStart && definitions?.length === 0 && (
            <Empty title="No settings yet" command="aiot device settings apply">
              <p>Define the settings of a device type under settings: in aiot.yaml, and apply them:</p>
            </Empty>
          )}
        </Page>
      )}
    </>
  );
}

const above = { title: 'Rollouts', to: linkTo(['rollouts']) };

function Form({ definitions }: { definitions: readonly SettingsInfo[] }) {
  const { query } = route.value;
  const typed = useSignal<Typed>(initialOf(definitions, query));
  /** With the key of its start, so that a repeated start after a lost response starts no second rollout. */
  const plan = useSignal<{ plan: RolloutPlan; key: string } | null>(null);
  const busy = useSignal(false);
  const isStarting = useSignal(false);
  const error = useSignal<ApiError | undefined>(undefined);
  /** Invalid inputs by the IDs of their elements. */
  const invalid = useSignal<Readonly<Record<string, string>>>({});
  const form = useRef<HTMLFormElement>(null);
  const { type, selector, texts, removed, policy, rollsBack } = typed.value;
  const definition = definitions.find((each) => each.type === type);
  const properties = definition ? leavesOf(definition.schema) : new Map<string, Property>();
  const request = requestOf(typed.value, properties);
  const started = query.get('rollout');

  const firstInvalid = Object.keys(invalid.value)[0];
  useEffect(() => {
    if (firstInvalid !== undefined) document.getElementById(firstInvalid)?.focus();
  }, [invalid.value]);

  /** A plan is valid only for the fields for which it was made. */
  const edit = (change: Partial<Typed>) => {
    typed.value = { ...typed.value, ...change };
    plan.value = null;
    error.value = undefined;
    invalid.value = {};
    if (started !== null) goTo(here({ rollout: '' }), { replace: true });
  };
  const setText = (path: string, text: string) => edit({ texts: { ...texts, [path]: text } });
  /** Runs a request for the fields as they are now. An error does not concern fields that have changed since. */
  const run = async (task: (isCurrent: () => boolean) => Promise<void>) => {
    const asked = typed.value;
    const isCurrent = () => typed.value === asked;
    busy.value = true;
    error.value = undefined;
    await task(isCurrent).catch((reason: ApiError) => {
      if (!isCurrent()) return;
      const path = settingAt(reason.field, properties);
      if (path !== null) invalid.value = { [idOf(path)]: reason.message };
      else error.value = reason;
    });
    busy.value = false;
  };
  const planIt = (event: Event) => {
    event.preventDefault();
    invalid.value = invalidInputs(form.current);
    if (request === null || Object.keys(invalid.value).length > 0) return;
    void run(async (isCurrent) => {
      const made = await send(at('POST /rollouts/plan', {}), request);
      if (isCurrent()) plan.value = { plan: made, key: crypto.randomUUID() };
    });
  };
  const start = async () => {
    isStarting.value = true;
    await run(async () => {
      if (!plan.value) return;
      const { plan: made, key } = plan.value;
      const { id } = await send(at('POST /rollouts', {}), made.request, key).catch((reason: ApiError) => {
        // Other devices match now, so the plan that was shown is no longer the one that would start.
        if (reason.code === 'AIOT_ROLLOUT_PLAN') plan.value = null;
        throw reason;
      });
      plan.value = null;
      goTo(linkTo(['rollouts', 'settings'], { type, selector, rollout: id }), { replace: true });
    });
    isStarting.value = false;
  };
  return (
    <Page title="Roll out settings" above={above} command={commandOf(typed.value, properties)}>
      <div class="beside">
        <form ref={form} onSubmit={planIt} noValidate>
          <fieldset class="whole" disabled={isStarting.value}>
            <Section title="Devices">
              <div class="form">
                <div class="field">
                  <label for="settings-type">Device type</label>
                  <select
                    id="settings-type"
                    required
                    value={type}
                    onChange={({ currentTarget }) =>
                      edit({ type: currentTarget.value, texts: {}, removed: [] })
                    }
                  >
                    {definitions.length > 1 && <option value="">Choose …</option>}
                    {definitions.map((each) => (
                      <option key={each.type}>{each.type}</option>
                    ))}
                  </select>
                  <FieldError id="settings-type" errors={invalid.value} />
                </div>
                <Field
                  id="settings-selector"
                  name="Selector"
                  property={{
                    type: 'string',
                    description: 'all, names separated by commas, or an expression such as site=lab.',
                  }}
                  required
                  value={selector}
                  error={invalid.value['settings-selector']}
                  onChange={(text) => edit({ selector: text })}
                />
              </div>
            </Section>
            <Section title="Settings" note="an empty field leaves the setting as it is">
              <div class="form">
                {[...properties].map(([path, property]) => {
                  const isRemoved = removed.includes(path);
                  return (
                    <div key={path} class="setting">
                      <Field
                        id={idOf(path)}
                        name={path}
                        property={withDefault(property)}
                        required={false}
                        disabled={isRemoved}
                        value={isRemoved ? '' : (texts[path] ?? '')}
                        error={invalid.value[idOf(path)]}
                        onChange={(text) => setText(path, text)}
                      />
                      <label class="check">
                        <input
                          type="checkbox"
                          checked={isRemoved}
                          aria-label={`Remove the overrides of ${path}`}
                          onChange={({ currentTarget }) =>
                            edit({
                              removed: currentTarget.checked
                                ? [...removed, path]
                                : removed.filter((each) => each !== path),
                            })
                          }
                        />{' '}
                        Remove the override
                      </label>
                    </div>
                  );
                })}
              </div>
            </Section>
            <Section title="Waves and limits" note="the defaults are those of aiot device settings deploy">
              <div class="form">
                <PolicyFields
                  names={limits}
                  texts={policy}
                  errors={invalid.value}
                  onChange={(name, text) => edit({ policy: { ...policy, [name]: text } })}
                />
                <div class="field">
                  <label for="settings-failure">If too many devices fail</label>
                  <select
                    id="settings-failure"
                    value={rollsBack ? 'rollback' : 'pause'}
                    onChange={({ currentTarget }) => edit({ rollsBack: currentTarget.value === 'rollback' })}
                  >
                    <option value="pause">pause the rollout</option>
                    <option value="rollback">restore the former settings</option>
                  </select>
                </div>
              </div>
            </Section>
          </fieldset>
          {error.value && <Failure error={error.value} />}
          <div class="choices">
            <button type="submit" disabled={request === null || busy.value}>
              Plan
            </button>
            <button
              type="button"
              class="primary"
              disabled={plan.value === null || busy.value}
              onClick={start}
            >
              {plan.value === null
                ? 'Start'
                : `Start on ${plural(plan.value.plan.waves.flat().length, 'device')}`}
            </button>
          </div>
        </form>
        <div>
          {plan.value && <Plan plan={plan.value.plan} />}
          {plan.value && <Rehearsal plan={plan.value.plan} key={plan.value.key} />}
          {!plan.value && started !== null && <Started key={started} id={started} />}
          {!plan.value && started === null && (
            <Section title="Rollout">
              <p class="soft">
                Change at least one setting, and plan the rollout to see its devices and waves, and to
                rehearse it. Then you can start it.
              </p>
            </Section>
          )}
        </div>
      </div>
    </Page>
  );
}

function FieldError({ id, errors }: { id: string; errors: Readonly<Record<string, string>> }) {
  return errors[id] === undefined ? null : <small class="field-error">{errors[id]}</small>;
}

/** States in which a rollout no longer changes by itself. */
const finalStates: ReadonlySet<string> = new Set(['done', 'partly', 'failed', 'rolledBack', 'aborted']);
/** Time between a response and the next read of a running rollout by limited users, ms. */
const pollMs = 2000;

/** The rollout that this form has started, with its actions. */
function Started({ id }: { id: string }) {
  const { value, error, reload } = useResource(at('GET /rollouts/:id', { id }), { events: ['rollout.*'] });
  // Limited users receive no events of rollouts.
  const isPolled = isLimited() && !!value && !finalStates.has(value.state);
  useEffect(() => {
    if (!isPolled) return;
    // Each response starts the next wait, so that no poll aborts a read.
    const timer = setTimeout(reload, pollMs);
    return () => clearTimeout(timer);
  }, [isPolled, value, error]);
  if (!value) return error ? <Failure error={error} /> : <Loading />;
  const { releases, state, reason } = value;
  return (
    <section aria-label="Started rollout">
      <Section title="Rollout" note={<a href={linkTo(['rollouts', id])}>{id}</a>}>
        <p>{releases.map(releaseText).join(' + ')}</p>
        <p class="lead" role="status">
          <Badge tone={toneOf[state]}>{words(state)}</Badge>
          {reason && (
            <span>
              {reason.message} <span class="soft">{reason.code}</span>
            </span>
          )}
        </p>
        <div class="choices">
          <Actions rollout={value} done={reload} />
        </div>
      </Section>
      <Waves rollout={value} />
      <Reasons rollout={value} />
    </section>
  );
}

function initialOf(definitions: readonly SettingsInfo[], query: URLSearchParams): Typed {
  const only = definitions.length === 1 ? (definitions[0]?.type ?? '') : '';
  const asked = query.get('type') ?? '';
  return {
    type: definitions.some(({ type }) => type === asked) ? asked : only,
    selector: query.get('selector') ?? '',
    ...{ texts: {}, removed: [], policy: usualTexts(), rollsBack: false },
  };
}

/** The setting in the form that contains a value, such as `list` for `list.0`; null = the form has none. */
function settingAt(field: string | undefined, properties: ReadonlyMap<string, Property>): string | null {
  const parts = field?.split('.') ?? [];
  for (let count = parts.length; count > 0; count--) {
    const path = parts.slice(0, count).join('.');
    if (properties.has(path)) return path;
  }
  return null;
}

const idOf = (path: string) => `setting-${path}`;

function withDefault(property: Property): Property {
  if (property.default === undefined) return property;
  const value = `Default: ${JSON.stringify(property.default)}.`;
  return { ...property, description: property.description ? `${property.description} ${value}` : value };
}

/** The messages of the browser about invalid inputs, by their IDs. */
function invalidInputs(form: HTMLFormElement | null): Record<string, string> {
  const inputs = [...(form?.elements ?? [])] as HTMLInputElement[];
  const wrong = inputs.filter((input) => input.validity && !input.validity.valid);
  return Object.fromEntries(wrong.map(({ id, validationMessage }) => [id, validationMessage]));
}

/** The typed values by path, without those that are removed. */
function givenIn({ texts, removed }: Typed, properties: ReadonlyMap<string, Property>): [string, string][] {
  return [...properties.keys()].flatMap((path): [string, string][] => {
    const text = texts[path] ?? '';
    return text === '' || removed.includes(path) ? [] : [[path, text]];
  });
}

/** Null = the form changes no setting, or its type is missing. */
function requestOf(typed: Typed, properties: ReadonlyMap<string, Property>): RolloutRequest | null {
  const { type, selector, removed, policy, rollsBack } = typed;
  const given = givenIn(typed, properties);
  if (type === '' || given.length + removed.length === 0) return null;
  const set: Record<string, unknown> = {};
  for (const [path, text] of given) merge(set, nested(path, parsed(text, properties.get(path))));
  return {
    releases: [{ kind: 'settings', name: type, change: { set, unset: [...removed] } }],
    selector: selector.trim(),
    policy: { ...policyOf(policy), onFailure: rollsBack ? 'rollback' : 'pause' },
  };
}

/** Adds a value within nested objects. */
function merge(into: Record<string, unknown>, from: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(from)) {
    const below = Object.hasOwn(into, name) ? into[name] : undefined;
    if (typeof below === 'object' && below !== null)
      merge(below as Record<string, unknown>, value as Record<string, unknown>);
    // A name such as __proto__ must become a member.
    else Object.defineProperty(into, name, { value, configurable: true, enumerable: true, writable: true });
  }
}

/** The equivalent command, with the flags that differ from the defaults. */
function commandOf(typed: Typed, properties: ReadonlyMap<string, Property>): string {
  const { type, selector, removed, policy, rollsBack } = typed;
  const changes = [
    ...givenIn(typed, properties).map(([path, text]) => shellWord(`${path}=${text}`)),
    ...removed.map((path) => shellWord(`${path}-`)),
  ];
  return [
    'aiot device settings deploy',
    ...(changes.length > 0 ? changes : ['SETTING=VALUE']),
    `--selector ${selector.trim() === '' ? 'SELECTOR' : shellWord(selector.trim())}`,
    ...(type === '' ? [] : [`--type ${shellWord(type)}`]),
    ...flagsOf(limits, policy),
    ...(rollsBack ? ['--on-failure rollback'] : []),
  ].join(' ');
}
