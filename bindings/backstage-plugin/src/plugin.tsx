import {
  ApiBlueprint,
  createFrontendPlugin,
  discoveryApiRef,
  fetchApiRef,
  PageBlueprint,
  SubPageBlueprint,
} from '@backstage/frontend-plugin-api';
import { EntityCardBlueprint } from '@backstage/plugin-catalog-react/alpha';

import { StagedoorClient, stagedoorApiRef } from './api.js';
import { StageDoorIcon } from './components/StageDoorIcon.js';
import { rootRouteRef, whoCanRouteRef, whyRouteRef } from './routes.js';

/** Shown to those alone who may see what others may do; the backend demands it as well. */
const ifReadsOthers = {
  permissions: { $contains: 'stagedoor.access.read#read' },
};

const page = PageBlueprint.make({
  params: {
    path: '/stagedoor',
    title: 'Permissions',
    routeRef: rootRouteRef,
    icon: <StageDoorIcon />,
  },
});

const access = SubPageBlueprint.make({
  name: 'access',
  params: {
    path: 'access',
    title: 'Access',
    loader: () =>
      import('./pages/AccessPage.js').then(({ AccessPage }) => <AccessPage />),
  },
});

const why = SubPageBlueprint.make({
  name: 'why',
  params: {
    path: 'why',
    title: 'Why',
    routeRef: whyRouteRef,
    loader: () =>
      import('./pages/WhyPage.js').then(({ WhyPage }) => <WhyPage />),
  },
});

const whoCan = SubPageBlueprint.make({
  name: 'who-can',
  if: ifReadsOthers,
  params: {
    path: 'who-can',
    title: 'Who can',
    routeRef: whoCanRouteRef,
    loader: () =>
      import('./pages/WhoCanPage.js').then(({ WhoCanPage }) => <WhoCanPage />),
  },
});

const whatIf = SubPageBlueprint.make({
  name: 'what-if',
  if: ifReadsOthers,
  params: {
    path: 'what-if',
    title: 'What if',
    loader: () =>
      import('./pages/WhatIfPage.js').then(({ WhatIfPage }) => <WhatIfPage />),
  },
});

const status = SubPageBlueprint.make({
  name: 'status',
  if: ifReadsOthers,
  params: {
    path: 'status',
    title: 'Status',
    loader: () =>
      import('./pages/StatusPage.js').then(({ StatusPage }) => <StatusPage />),
  },
});

const api = ApiBlueprint.make({
  name: 'access',
  params: define =>
    define({
      api: stagedoorApiRef,
      deps: { discoveryApi: discoveryApiRef, fetchApi: fetchApiRef },
      factory: services => new StagedoorClient(services),
    }),
});

const card = EntityCardBlueprint.make({
  name: 'access',
  params: {
    type: 'info',
    loader: () =>
      import('./components/EntityAccessCard.js').then(
        ({ EntityAccessCard }) => <EntityAccessCard />,
      ),
  },
});

/** The page of Stagedoor: who may do what in Backstage, and why. */
export const stagedoorPlugin = createFrontendPlugin({
  pluginId: 'stagedoor',
  title: 'Permissions',
  icon: <StageDoorIcon />,
  routes: { root: rootRouteRef, why: whyRouteRef, whoCan: whoCanRouteRef },
  extensions: [page, access, why, whoCan, whatIf, status, api, card],
});
