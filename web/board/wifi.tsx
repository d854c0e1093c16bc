import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import {
  ImprovFailure,
  ImprovSession,
  type SeenNetwork,
} from '../../src/lib/device/onboard/improv-session.js';
import { Fault } from './fault.js';
import { type BoardFault, faultOf, silentChipUsb } from './faults.js';
import { type BoardPort, pause } from './port.js';

/** Time for a running board to answer, ms. */
const contactMs = 10_000;
/** Time for joining a network, ms. aiot's firmware gives up after 45 s. */
const joinMs = 60_000;

const clock = { now: () => Date.now(), sleep: pause };

/** The firmware that a board reports, and the networks in its range. */
interface Known {
  firmware: string;
  networks: readonly SeenNetwork[];
}

/** Connects a board to Wi-Fi by Improv. */
export function BoardWifi({
  board,
  busy,
  waitMs,
}: {
  board: BoardPort | null;
  busy: boolean;
  /** Time to wait for Improv after an installation, ms; null = nothing was installed. */
  waitMs: number | null;
}) {
  const known = useSignal<Known | null>(null);
  const fault = useSignal<BoardFault | null>(null);
  const stage = useSignal('');
  const url = useSignal('');
  const working = useSignal(false);
  const chosen = useSignal('');
  const other = useSignal('');
  const password = useSignal('');
  /** The conversation that is under way. */
  const current = useRef<AbortController | null>(null);

  const talk = async (port: BoardPort, work: (session: ImprovSession) => Promise<void>) => {
    current.current?.abort();
    const own = new AbortController();
    current.current = own;
    fault.value = null;
    working.value = true;
    const session = new ImprovSession(port, { signal: own.signal, clock });
    await work(session)
      .catch((error: unknown) => {
        stage.value = '';
        // The board itself reports that it was unplugged.
        if (!port.lost.aborted && !own.signal.aborted)
          fault.value = port.isChipUsb && isSilent(error) ? silentChipUsb() : faultOf(error);
      })
      .finally(() => session.end());
    if (current.current === own) working.value = false;
  };
  const find = (port: BoardPort, ms: number) =>
    talk(port, async (session) => {
      known.value = null;
      url.value = '';
      stage.value = 'Waiting for the board …';
      const state = await session.contact(ms);
      const [firmware = '', version = ''] = await session.info();
      stage.value = 'The board looks for networks …';
      const networks = await session.scan().catch(() => []);
      chosen.value = networks[0]?.ssid ?? '';
      known.value = { firmware: `${firmware} ${version}`.trim(), networks };
      stage.value = state === 'provisioned' ? 'The board is connected to a network.' : '';
    });
  const join = (event: Event) => {
    event.preventDefault();
    if (!board) return;
    const ssid = chosen.value === '' ? other.value : chosen.value;
    void talk(board, async (session) => {
      stage.value = `Joining ${ssid} …`;
      url.value = await session.join({ ssid, password: password.value }, joinMs);
      password.value = '';
      stage.value = `The board has joined ${ssid}.`;
    });
  };
  useEffect(() => {
    known.value = null;
    stage.value = '';
    fault.value = null;
    url.value = '';
    return () => current.current?.abort();
  }, [board]);
  useEffect(() => {
    // An installation needs the port for itself.
    if (busy) current.current?.abort();
  }, [busy]);
  useEffect(() => {
    if (board && waitMs !== null) void find(board, waitMs);
  }, [board, waitMs]);
  const isUsable = board !== null && !busy && !working.value;
  const open = known.value?.networks.find(({ ssid }) => ssid === chosen.value)?.secured === false;
  return (
    <section class="section">
      <h2>Connect it to Wi-Fi</h2>
      {known.value === null ? (
        <p>
          <button type="button" disabled={!isUsable} onClick={() => board && void find(board, contactMs)}>
            Find networks
          </button>
        </p>
      ) : (
        <form class="board-wifi" onSubmit={join}>
          {known.value.firmware !== '' && <p class="soft">The board runs {known.value.firmware}.</p>}
          <label for="board-network">Network</label>
          <select
            id="board-network"
            value={chosen.value}
            disabled={!isUsable}
            onChange={({ currentTarget }) => {
              chosen.value = currentTarget.value;
            }}
          >
            {known.value.networks.map(({ ssid, dbm, secured }) => (
              <option key={ssid} value={ssid}>
                {ssid}
                {dbm === null ? '' : ` (${dbm} dBm${secured ? '' : ', open'})`}
              </option>
            ))}
            <option value="">Another network</option>
          </select>
          {chosen.value === '' && (
            <>
              <label for="board-ssid">Name of the network</label>
              <input
                id="board-ssid"
                required
                maxLength={32}
                autocomplete="off"
                disabled={!isUsable}
                value={other.value}
                onInput={({ currentTarget }) => {
                  other.value = currentTarget.value;
                }}
              />
            </>
          )}
          {!open && (
            <>
              <label for="board-password">Password</label>
              <input
                id="board-password"
                type="password"
                autocomplete="off"
                maxLength={64}
                disabled={!isUsable}
                value={password.value}
                onInput={({ currentTarget }) => {
                  password.value = currentTarget.value;
                }}
              />
            </>
          )}
          <p class="board-actions">
            <button type="button" disabled={!isUsable} onClick={() => board && void find(board, contactMs)}>
              Search again
            </button>
            <button type="submit" class="primary" disabled={!isUsable}>
              Join
            </button>
          </p>
        </form>
      )}
      <Fault fault={fault.value} />
      <p role="status" class="stage">
        {stage.value}
        {isPage(url.value) && (
          <>
            {' '}
            <a href={url.value} rel="noreferrer" target="_blank">
              Open its page
            </a>
          </>
        )}
      </p>
    </section>
  );
}

const isSilent = (error: unknown) => error instanceof ImprovFailure && error.trouble.reason === 'silent';

/** A board's address is data from outside, so that only links to web pages are shown. */
const isPage = (url: string) => /^https?:\/\/\S+$/.test(url);
