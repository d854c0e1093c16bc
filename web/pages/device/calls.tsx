import { useSignal } from '@preact/signals';
import type { CommandInfo, DeviceInfo, DeviceReply } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { user } from '../../app/session.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Field, type Property, parsed } from '../../parts/field.js';
import { Failure, Loading } from '../../parts/page.js';
import { Values } from './values.js';

const ranks = ['viewer', 'ci', 'operator'];

/** The commands of a device as forms: those that projects define for its type, and `status`. The page header has buttons for the other
 * commands. */
export function Calls({ device: { name, online } }: { device: DeviceInfo }) {
  const { value, error } = useResource(at('GET /devices/:name/commands', { name }), {
    events: ['commands.apply'],
  });
  if (error) return <Failure error={error} />;
  if (!value) return <Loading />;
  const own = value.commands.filter(({ project }) => project !== null);
  const shown = [...own, ...value.commands.filter((each) => each.project === null && each.name === 'status')];
  return (
    <>
      {!online && <p>The device is offline. Commands are rejected until it connects.</p>}
      {shown.map((command) => (
        <Call key={command.name} device={name} command={command} online={online} />
      ))}
      {own.length === 0 && (
        <p class="soft">
          To add commands for devices of this type, define them under commands: in aiot.yaml, and apply them.
        </p>
      )}
    </>
  );
}

function Call({ device, command, online }: { device: string; command: CommandInfo; online: boolean }) {
  const properties = (command.params?.properties ?? {}) as Record<string, Property>;
  const required = (command.params?.required ?? []) as string[];
  const fields = useSignal<Record<string, string>>(initialOf(properties));
  const busy = useSignal(false);
  const reply = useSignal<DeviceReply | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  // If the response is lost, a second attempt with the same fields is the same call, which the device runs once.
  const key = useSignal(crypto.randomUUID());
  const allowed = ranks.indexOf(user.value?.role ?? '') >= ranks.indexOf(command.role);
  const given = Object.entries(fields.value).filter(([, text]) => text !== '');
  const change = (field: string, text: string) => {
    fields.value = { ...fields.value, [field]: text };
    key.value = crypto.randomUUID();
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    reply.value = undefined;
    error.value = undefined;
    const params = Object.fromEntries(given.map(([field, text]) => [field, parsed(text, properties[field])]));
    const asked = { command: command.name, ...(given.length > 0 ? { params } : {}) };
    await send(at('POST /devices/:name/commands', { name: device }), asked, key.value).then(
      (answer) => {
        reply.value = answer;
        key.value = crypto.randomUUID();
      },
      (reason: ApiError) => {
        error.value = reason;
        if (reason.code !== 'AIOT_PLATFORM_UNREACHABLE') key.value = crypto.randomUUID();
      },
    );
    busy.value = false;
  };
  const words = given.map(([field, text]) => {
    const shown = properties[field]?.writeOnly ? '…' : text;
    return ` --param ${shellWord(`${field}=${shown}`)}`;
  });
  return (
    <section class="call" aria-label={command.name}>
      <h2>{command.name}</h2>
      {command.summary && <p>{command.summary}</p>}
      <form onSubmit={submit}>
        {Object.entries(properties).map(([field, property]) => (
          <Field
            key={field}
            id={`${command.name}-${field}`}
            name={field}
            property={property}
            required={required.includes(field)}
            value={fields.value[field] ?? ''}
            onChange={(text) => change(field, text)}
          />
        ))}
        <button type="submit" class="primary" disabled={!online || !allowed || busy.value}>
          {busy.value ? 'Waiting …' : 'Call'}
        </button>
      </form>
      {!allowed && <p class="soft">This command requires the role {command.role}.</p>}
      <div role="status">
        {reply.value && (
          <p class="said">
            Replied in {Math.round(reply.value.ms)} ms.{' '}
            <Values of={(reply.value.result ?? {}) as Record<string, unknown>} />
          </p>
        )}
      </div>
      {error.value && <Failure error={error.value} />}
      <Command line={`aiot device call ${shellWord(device)} ${command.name}${words.join('')}`} />
    </section>
  );
}

function initialOf(properties: Record<string, Property>): Record<string, string> {
  const known = Object.entries(properties).filter(([, { default: value }]) => value !== undefined);
  return Object.fromEntries(
    known.map(([name, { default: value }]) => [
      name,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}
