import { createApiRef } from '@backstage/frontend-plugin-api';
import type { DiscoveryApi, FetchApi } from '@backstage/frontend-plugin-api';

import type {
  Access,
  EntityRights,
  Grid,
  Holders,
  Me,
  Problem,
  Reach,
  Status,
  WhatIf,
  Why,
} from './answers.js';

/** Whom a question is about: by default, whoever asks. */
export interface Subject {
  /** A user of the catalog. */
  user?: string | undefined;
  /** In place of a user: somebody who is in this group and in no other. */
  group?: string | undefined;
}

/**
 * Who may do what, and why. Other plugins may ask as well.
 *
 * Everybody may ask about themselves; all else needs the permission `stagedoor.access.read`.
 */
export interface StagedoorApi {
  /** Who asks, and whether they may see what others may do. */
  me(): Promise<Me>;
  access(subject?: Subject & { permission?: string }): Promise<Access>;
  why(
    question: Subject & { permission: string; entity?: string | undefined },
  ): Promise<Why>;
  rights(question: { entity: string; user?: string }): Promise<EntityRights>;
  reach(question: Subject & { permission: string }): Promise<Reach>;
  whoCan(question: {
    permission: string;
    entity?: string | undefined;
  }): Promise<Holders>;
  grid(part: { offset: number; limit: number }): Promise<Grid>;
  /** What the shadow policies would change. */
  shadow(): Promise<WhatIf>;
  /** What other policies would change. */
  whatIf(draft: {
    files: { name: string; text: string }[];
    mode: 'beside' | 'instead';
  }): Promise<WhatIf>;
  status(): Promise<Status>;
}

export const stagedoorApiRef = createApiRef<StagedoorApi>().with({
  id: 'plugin.stagedoor.access',
  pluginId: 'stagedoor',
});

/** A question that was not answered. */
export class StagedoorApiError extends Error {
  override name = 'StagedoorApiError';

  constructor(
    message: string,
    readonly status: number,
    /** What is wrong with policies that were handed over. */
    readonly problems: readonly Problem[],
  ) {
    super(message);
  }
}

type Parameters = Record<string, string | number | undefined>;

/** Asks the backend module. */
export class StagedoorClient implements StagedoorApi {
  readonly #options: { discoveryApi: DiscoveryApi; fetchApi: FetchApi };

  constructor(options: { discoveryApi: DiscoveryApi; fetchApi: FetchApi }) {
    this.#options = options;
  }

  me(): Promise<Me> {
    return this.#get('me');
  }

  access(question: Subject & { permission?: string } = {}): Promise<Access> {
    return this.#get('access', { ...question });
  }

  why(
    question: Subject & { permission: string; entity?: string | undefined },
  ): Promise<Why> {
    return this.#get('why', { ...question });
  }

  rights(question: { entity: string; user?: string }): Promise<EntityRights> {
    return this.#get('rights', { ...question });
  }

  reach(question: Subject & { permission: string }): Promise<Reach> {
    return this.#get('reach', { ...question });
  }

  whoCan(question: {
    permission: string;
    entity?: string | undefined;
  }): Promise<Holders> {
    return this.#get('who-can', { ...question });
  }

  grid(part: { offset: number; limit: number }): Promise<Grid> {
    return this.#get('grid', { ...part });
  }

  shadow(): Promise<WhatIf> {
    return this.#get('what-if');
  }

  whatIf(draft: {
    files: { name: string; text: string }[];
    mode: 'beside' | 'instead';
  }): Promise<WhatIf> {
    return this.#ask('what-if', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(draft),
    });
  }

  status(): Promise<Status> {
    return this.#get('status');
  }

  #get<Answer>(question: string, parameters: Parameters = {}): Promise<Answer> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      if (value !== undefined && value !== '') query.set(name, `${value}`);
    }
    const text = query.toString();
    return this.#ask(text ? `${question}?${text}` : question);
  }

  async #ask<Answer>(path: string, init?: RequestInit): Promise<Answer> {
    const { discoveryApi, fetchApi } = this.#options;
    const base = await discoveryApi.getBaseUrl('permission');
    const response = await fetchApi.fetch(`${base}/stagedoor/v1/${path}`, init);
    if (response.ok) return (await response.json()) as Answer;
    const told = (await response.json().catch(() => ({}))) as {
      error?: string | { message?: string };
      problems?: Problem[];
    };
    const message =
      typeof told.error === 'string' ? told.error : told.error?.message;
    throw new StagedoorApiError(
      message ?? `the backend answered ${response.status}`,
      response.status,
      told.problems ?? [],
    );
  }
}
