import { render } from 'preact';
import { App } from './app/app.js';
import { pageOf } from './app/pages.js';
import { route } from './app/route.js';
import { openSession, user } from './app/session.js';
import './style/main.css';

const root = document.getElementById('app');
if (root) {
  render(<App />, root);
  // Preloads the page's file while the session is checked. If the file cannot be loaded, the page itself
  // reports it.
  pageOf(route.value.parts)
    ?.load()
    .catch(() => undefined);
  openSession().catch(() => {
    user.value = null;
  });
}
