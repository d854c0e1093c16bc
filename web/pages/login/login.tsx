import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ApiError } from '../../app/api.js';
import { goToProvider, logIn, provider } from '../../app/session.js';
import { Command } from '../../parts/command.js';
import { Failure } from '../../parts/page.js';

/** Login through the login provider, with a link from the command line, or with a token. */
export function Login({ failed }: { failed?: ApiError | undefined }) {
  const token = useSignal('');
  const error = useSignal<ApiError | undefined>(undefined);
  const busy = useSignal(false);
  useEffect(() => {
    document.title = 'Log in · aiot';
  }, []);
  const attempt = async (login: () => Promise<void>) => {
    busy.value = true;
    error.value = undefined;
    await login().catch((reason: ApiError) => {
      error.value = reason;
    });
    busy.value = false;
  };
  const submit = (event: Event) => {
    event.preventDefault();
    return attempt(() => logIn({ token: token.value.trim() }));
  };
  const shown = error.value ?? failed;
  return (
    <main class="login">
      <h1>aiot</h1>
      {provider.value !== null && (
        <p>
          <button type="button" class="primary" disabled={busy.value} onClick={() => attempt(goToProvider)}>
            Log in with {provider.value}
          </button>
        </p>
      )}
      <p>
        To log in{provider.value !== null && ' with a token'}, run this command on a machine where aiot is set
        up:
      </p>
      <Command line="aiot dashboard --open" label="Log in" />
      <form onSubmit={submit}>
        <label for="token">Or log in with a token</label>
        <input
          id="token"
          type="password"
          autocomplete="current-password"
          spellcheck={false}
          required
          value={token.value}
          onInput={({ currentTarget }) => {
            token.value = currentTarget.value;
          }}
        />
        <button type="submit" class="primary" disabled={busy.value}>
          Log in
        </button>
      </form>
      {shown && <Failure error={shown} />}
    </main>
  );
}
