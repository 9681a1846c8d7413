// An app as one begins it: Backstage's own pages, and Stagedoor's, by name.

import '@backstage/ui/css/styles.css';

import { createApp } from '@backstage/frontend-defaults';
import catalogPlugin from '@backstage/plugin-catalog/alpha';
import stagedoorPlugin from '@stagedoor/backstage-plugin-stagedoor';
import { createRoot } from 'react-dom/client';

const app = createApp({ features: [catalogPlugin, stagedoorPlugin] });
createRoot(document.getElementById('root')).render(app.createRoot());
