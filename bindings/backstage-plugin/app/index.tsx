import '@backstage/ui/css/styles.css';

import { ProxiedSignInPage } from '@backstage/core-components';
import { createApp } from '@backstage/frontend-defaults';
import { createFrontendModule } from '@backstage/frontend-plugin-api';
import { SignInPageBlueprint } from '@backstage/plugin-app-react';
import type { SignInPageProps } from '@backstage/plugin-app-react';
import catalogPlugin from '@backstage/plugin-catalog/alpha';
import { createRoot } from 'react-dom/client';

import stagedoorPlugin from '../src/index.js';

// `?as=name` signs in by the provider of the tests; otherwise whoever opens it is the guest.
const named =
  new URLSearchParams(window.location.search).get('as') ??
  sessionStorage.getItem('as');
if (named) sessionStorage.setItem('as', named);

const signIn = createFrontendModule({
  pluginId: 'app',
  extensions: [
    SignInPageBlueprint.make({
      params: {
        loader: () =>
          Promise.resolve((props: SignInPageProps) => (
            <ProxiedSignInPage
              {...props}
              provider={named ? 'named' : 'guest'}
              headers={named ? { 'x-name': named } : {}}
            />
          )),
      },
    }),
  ],
});

const app = createApp({ features: [catalogPlugin, stagedoorPlugin, signIn] });
const root = document.getElementById('root');
if (root) createRoot(root).render(app.createRoot());
