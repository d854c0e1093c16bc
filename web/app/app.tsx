import { useSignal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { useEffect } from 'preact/hooks';
import { Login } from '../pages/login/login.js';
import { PaletteButton } from '../palette/shortcut.js';
import { Failure, Loading } from '../parts/page.js';
import { ApiError } from './api.js';
import { closeLive, connected, liveState, openLive, reconnect } from './live.js';
import { type PageOf, pageOf, pages } from './pages.js';
import { goTo, route } from './route.js';
import { logIn, logOut, providerFailure, user } from './session.js';

/**
 * The whole dashboard. Users who are not logged in see the login on every page. The code in a login link is used, and then removed
 * from the address.
 */
export function App() {
  const { parts } = route.value;
  const [first = '', code = ''] = parts;
  const failed = useSignal<ApiError | undefined>(undefined);
  const ready = useSignal(false);
  const known = user.value;
  const opening = first === 'login' && code !== '';

  useEffect(() => {
    if (!opening || known === undefined) return;
    goTo('#/', { replace: true });
    logIn({ code }).catch((error: ApiError) => {
      failed.value = error;
    });
  }, [opening, known === undefined]);
  useEffect(() => {
    if (!known) {
      ready.value = false;
      closeLive();
      return;
    }
    failed.value = undefined;
    providerFailure.value = undefined;
    void openLive().then(() => {
      ready.value = true;
    });
  }, [known?.csrf]);

  if (known === undefined || opening) return <Loading />;
  if (known === null) return <Login failed={failed.value ?? providerFailure.value} />;
  return <Frame>{ready.value ? <Current /> : <Loading />}</Frame>;
}

function Frame({ children }: { children: preact.ComponentChildren }) {
  const { parts } = route.value;
  const here = parts[0] ?? '';
  const menu = useSignal(false);
  useEffect(() => {
    menu.value = false;
  }, [route.value]);
  return (
    <div class="frame">
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to content
      </button>
      <nav class={menu.value ? 'side open' : 'side'} aria-label="Pages">
        <div class="side-head">
          <a class="brand" href="#/">
            aiot
          </a>
          <button
            type="button"
            class="menu"
            aria-expanded={menu.value}
            aria-label="Menu"
            onClick={() => {
              menu.value = !menu.value;
            }}
          >
            ☰
          </button>
          <PaletteButton />
        </div>
        <ul>
          {pages
            .filter(({ hidden }) => !hidden)
            .map(({ path, title }) => (
              <li key={path}>
                <a href={`#/${path}`} aria-current={path === here ? 'page' : undefined}>
                  {title}
                </a>
              </li>
            ))}
        </ul>
        <Who />
      </nav>
      <main id="main" tabIndex={-1}>
        <Broken />
        {children}
      </main>
    </div>
  );
}

function Who() {
  const { name = '', role = '', selector = null } = user.value ?? {};
  return (
    <div class="who">
      <div>
        {name} <span class="soft">{role}</span>
        {selector !== null && <div class="soft">only {selector}</div>}
      </div>
      <button type="button" class="quiet" onClick={() => logOut()}>
        Log out
      </button>
    </div>
  );
}

/**
 * A notice that the connection is interrupted. It is delayed, because a page that returns to the foreground reconnects within a
 * moment.
 */
function Broken() {
  const lasting = useSignal(false);
  useEffect(() => {
    lasting.value = false;
    if (connected.value) return;
    const timer = setTimeout(() => {
      lasting.value = true;
    }, 1500);
    return () => clearTimeout(timer);
  }, [connected.value]);
  if (connected.value || !lasting.value) return null;
  return <Interruption />;
}

/** Explains why the live connection is interrupted, and when the next attempt is. */
function Interruption() {
  const state = liveState.value;
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => {
      now.value = Date.now();
    }, 1000);
    return () => clearInterval(timer);
  }, []);
  const isRefused = state.is === 'waiting' && state.why === 'refused';
  const seconds = state.is === 'waiting' ? Math.ceil((state.at - now.value) / 1000) : 0;
  return (
    <div class="broken">
      <p role="status">
        {isRefused
          ? 'Live updates are interrupted: the platform responds, but the WebSocket connection fails. A proxy must forward WebSockets and the Host header. This page may be out of date.'
          : 'The platform is unreachable. This page may be out of date; it reloads when the platform is back.'}
      </p>
      <p class="soft">
        {seconds > 0 ? `Reconnecting in ${seconds} s.` : 'Reconnecting …'}{' '}
        <button type="button" class="link" onClick={reconnect}>
          Try now
        </button>
      </p>
    </div>
  );
}

/** The page that belongs to the address. Its file is loaded on first use. */
function Current() {
  const { parts } = route.value;
  const wanted = pageOf(parts);
  const page = useSignal<{ path: string; of: ComponentType<PageOf> } | undefined>(undefined);
  const error = useSignal<ApiError | undefined>(undefined);
  useEffect(() => {
    error.value = undefined;
    // A page that is loaded after the user has navigated to another one is not shown.
    let left = false;
    wanted?.load().then(
      (of) => {
        if (!left) page.value = { path: wanted.path, of };
      },
      () => {
        if (left) return;
        error.value = new ApiError(
          'AIOT_PLATFORM_UNREACHABLE',
          'This page could not be loaded.',
          'aiot status',
        );
      },
    );
    return () => {
      left = true;
    };
  }, [wanted]);
  if (!wanted) {
    return <Failure error={new ApiError('AIOT_NOT_FOUND', 'This page does not exist.')} />;
  }
  if (error.value) return <Failure error={error.value} />;
  if (page.value?.path !== wanted.path) return <Loading />;
  const { of: Shown } = page.value;
  return <Shown key={parts.join('/')} parts={parts.slice(1)} />;
}
