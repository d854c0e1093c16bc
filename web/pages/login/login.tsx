import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { ApiError } from '../../app/api.js';
import { logIn } from '../../app/session.js';
import { Command } from '../../parts/command.js';
import { Failure } from '../../parts/page.js';

/** Login with a link from the command line, or with a token. */
export function Login({ failed }: { failed?: ApiError | undefined }) {
  const token = useSignal('');
  const error = useSignal<ApiError | undefined>(undefined);
  const busy = useSignal(false);
  useEffect(() => {
    document.title = 'Log in · aiot';
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    busy.value = true;
    error.value = undefined;
    await logIn({ token: token.value.trim() }).catch((reason: ApiError) => {
      error.value = reason;
    });
    busy.value = false;
  };
  const shown = error.value ?? failed;
  return (
    <main class="login">
      <h1>aiot</h1>
      <p>To log in, run this command on a machine where aiot is set up:</p>
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
