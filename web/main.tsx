import { render } from 'preact';
import { App } from './app/app.js';
import { loadSession, user } from './app/session.js';
import './style/main.css';

const root = document.getElementById('app');
if (root) {
  render(<App />, root);
  loadSession().catch(() => {
    user.value = null;
  });
}
