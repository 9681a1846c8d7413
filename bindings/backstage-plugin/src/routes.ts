import { createRouteRef } from '@backstage/frontend-plugin-api';

export const rootRouteRef = createRouteRef();
export const whyRouteRef = createRouteRef();
export const whoCanRouteRef = createRouteRef();
