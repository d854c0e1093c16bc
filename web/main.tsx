import { render } from 'preact';
import { App } from './app/app.js';
import { pageOf } from './app/pages.js';
import { route } from './app/route.js';
import { loadSession, user } from './app/session.js';
import './style/main.css';

const root = document.getElementById('app');
if (root) {
  render(<App />, root);
  // The page's file comes while it is asked who this is; the page itself tells where it does not come.
  pageOf(route.value.parts)
    ?.load()
    .catch(() => undefined);
  loadSession().catch(() => {
    user.value = null;
  });
}
