// What Backstage's permission policy answers, without a Backstage.
// Run: node examples/backstage.mjs
import { Engine } from '@stagedoor/node';

const engine = await Engine.load({
  platform: 'backstage',
  texts: [
    {
      name: 'catalog.cedar',
      text: `
        @id("owners-delete")
        permit (
          principal is Backstage::User,
          action == Backstage::Action::"catalog.entity.delete",
          resource is Backstage::CatalogEntity
        )
        when { resource.owners.containsAny(principal.claims) };`,
    },
  ],
});

const user = {
  userEntityRef: 'user:default/ana',
  ownershipEntityRefs: ['user:default/ana', 'group:default/payments'],
};
const permission = {
  name: 'catalog.entity.delete',
  attributes: { action: 'delete' },
  resourceType: 'catalog-entity',
};

// Backstage does not say which entity is meant: the answer is a condition for the catalog.
const { decision } = engine.decideBackstage(permission, user);
console.log(decision.result);
console.log(JSON.stringify(decision.conditions));

// Whatever is not known is denied, and says so.
const unknown = engine.decideBackstage({ name: 'catalog.entity.destroy', attributes: {} }, user);
console.log(unknown.decision.result, unknown.errors.length);

/* Prints:
CONDITIONAL
{"rule":"IS_ENTITY_OWNER","resourceType":"catalog-entity","params":{"claims":["group:default/payments","user:default/ana"]}}
DENY 1
*/
