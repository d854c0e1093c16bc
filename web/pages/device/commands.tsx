import { useSignal } from '@preact/signals';
import type { DeviceInfo, LogLine } from '../../../src/lib/api/index.js';
import { type ApiError, at, send } from '../../app/api.js';
import { useAsked } from '../../app/asked.js';
import { shellWord } from '../../app/text.js';
import { Command } from '../../parts/command.js';
import { Confirm } from '../../parts/dialog.js';

const levels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLine['level'][];
/** Durations of a log level, as in commands, and in ms; empty = until the next restart. */
const spans: Readonly<Record<string, number | undefined>> = {
  ...{ '10m': 600_000, '1h': 3_600_000, '24h': 86_400_000, '': undefined },
};

/** Commands for a device that is online. */
export function Commands({ device, onNotice }: { device: DeviceInfo; onNotice: (text: string) => void }) {
  const { name, online } = device;
  const asking = useSignal(false);
  const leveling = useSignal(false);
  const level = useSignal('debug');
  const span = useSignal('10m');
  const busy = useSignal(false);
  useAsked((verb) => {
    if (verb !== 'restart' || !online) return false;
    asking.value = true;
    return true;
  });
  const command = async (what: 'ping' | 'reboot') => {
    busy.value = true;
    onNotice(`Sending ${what} …`);
    try {
      const { ms } = await send(at('POST /devices/:name/commands', { name }), { command: what });
      onNotice(`${name} responded to ${what} in ${Math.round(ms)} ms.`);
    } finally {
      busy.value = false;
    }
  };
  const setLevel = async () => {
    const forMs = spans[span.value];
    const params = { level: level.value, ...(forMs === undefined ? {} : { forMs }) };
    await send(at('POST /devices/:name/commands', { name }), { command: 'log-level', params });
    onNotice(`${name} logs from level ${level.value}${span.value === '' ? '' : ` for ${span.value}`}.`);
  };
  const ping = () => command('ping').catch((error: ApiError) => onNotice(`${error.message} (${error.code})`));
  return (
    <>
      <button type="button" disabled={!online || busy.value} onClick={ping}>
        Ping
      </button>
      <button type="button" disabled={!online || busy.value} onClick={() => (asking.value = true)}>
        Restart
      </button>
      <button type="button" disabled={!online || busy.value} onClick={() => (leveling.value = true)}>
        Log level
      </button>
      {leveling.value && (
        <Confirm
          title={`Log level of ${name}`}
          action="Set the level"
          run={setLevel}
          onClose={() => (leveling.value = false)}
        >
          <p>The device leaves out lines below this level. After a restart, its level is info again.</p>
          <div class="field">
            <label for="log-level">Level</label>
            <select
              id="log-level"
              value={level.value}
              onChange={({ currentTarget }) => (level.value = currentTarget.value)}
            >
              {levels.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </div>
          <div class="field">
            <label for="log-level-for">Duration</label>
            <select
              id="log-level-for"
              value={span.value}
              onChange={({ currentTarget }) => (span.value = currentTarget.value)}
            >
              {Object.keys(spans).map((each) => (
                <option key={each} value={each}>
                  {each === '' ? 'until the next restart' : `for ${each}, then info`}
                </option>
              ))}
            </select>
          </div>
          <Command
            line={`aiot device log-level ${shellWord(name)} ${level.value}${span.value === '' ? '' : ` --for ${span.value}`}`}
          />
        </Confirm>
      )}
      {asking.value && (
        <Confirm
          title={`Restart ${name}?`}
          action="Restart"
          run={() => command('reboot')}
          onClose={() => (asking.value = false)}
        >
          <p>
            The device acknowledges the command and restarts. Samples measured during the restart are lost.
          </p>
          <Command line={`aiot device call ${shellWord(name)} reboot`} />
        </Confirm>
      )}
    </>
  );
}
