import { HumanDuration } from '@backstage/types';

export interface Config {
  permission?: {
    /** Decisions by Cedar policies. */
    stagedoor?: {
      /**
       * The directory of the policies, their schema and the permissions of other plugins:
       * `*.cedar`, `*.cedarschema` and `*.permissions.yaml`, below it too. A relative path
       * starts where the backend is started.
       */
      directory?: string;

      /** In its place: a bundle, as `stagedoor backstage bundle` writes it. */
      bundle?: string;

      /**
       * Whether changes of the policies are taken up while the backend runs, and how often
       * they are looked for. By default every 5 seconds.
       */
      watch?: boolean | { interval: HumanDuration | string };

      /**
       * How long requests wait for the policies when the backend starts. Then they are
       * denied. By default 5 seconds.
       */
      startupWait?: HumanDuration | string;

      /** How many answers are kept. By default 20,000. */
      cacheSize?: number;

      /**
       * How large the conditions of an answer may be; larger ones are a denial, which is
       * logged. Backstage sends them once for each resource of a request, 100 KiB at most.
       */
      budget?: {
        /** How many rules. By default 64. */
        leaves?: number;
        /** How deep they may nest. By default 16. */
        depth?: number;
        /** How many bytes of JSON. By default 3,800. */
        bytes?: number;
      };

      /** A directory of custom rules (`*.wasm`) that policies name in `@guard`. */
      rules?: string;

      /**
       * Whether the groups above a user's groups are read from the catalog, so that policies
       * about them hold for the user, and how often. Until they were read everything is
       * denied. Whenever policies or groups change, the catalog's users are read, too, and
       * those whose conditions are over the budget are logged. By default nothing is read;
       * `true` is every minute.
       */
      catalogGroups?: boolean | { interval: HumanDuration | string };

      /** What is told to the auditor. By default nothing. */
      audit?: {
        /** Which decisions. */
        decisions: 'all' | 'denied' | 'none';
        /** The share of them that is told, from 0 to 1. By default all. */
        sample?: number;
        /** By default `medium`. */
        severity?: 'low' | 'medium' | 'high' | 'critical';
      };

      /** Policies that are evaluated beside those in force. Nothing is enforced from them. */
      shadow?: {
        /** Their directory. */
        directory?: string;
        /** In its place: a bundle. */
        bundle?: string;
      };

      /**
       * Who asks when nobody is signed in, which Backstage lets through only with
       * `backend.auth.dangerouslyDisableDefaultAuthPolicy`. By default they are denied.
       */
      guest?: {
        /** Such as `user:development/guest`. */
        userEntityRef: string;
        /** References by which the guest owns entities. */
        ownershipEntityRefs?: string[];
      };
    };
  };
}
