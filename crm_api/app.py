"""The Falcon application: every route on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import falcon

from crm_api.domain.inputs import accounts, blocks, panels, places, ring_plans
from crm_api.domain.inputs.base import MAX_ID, NameQuery, OfCompanyQuery
from crm_api.resources import calls
from crm_api.resources.authentication import Authentication
from crm_api.resources.kept import Collection, Item, RingPlanItem
from crm_api.resources.rendering import install_error_handlers

if TYPE_CHECKING:
    from crm_api.adapters.plan_cache import PlanCache
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase

KEY = f"{{key:int(min=1, max={MAX_ID})}}"


def create_app(services: Services, database: CrmDatabase, cache: PlanCache) -> falcon.App[Any, Any]:
    """Make the WSGI application."""
    app = falcon.App(middleware=[Authentication(services.tokens)])
    install_error_handlers(app, database)
    s = services

    app.add_route("/health", calls.Health(database, cache))
    # The call path
    app.add_route("/v1/ring-plans/{key}/{dialled}", calls.RingPlan(s.planning))
    app.add_route("/v1/door-openings", calls.DoorOpeningsInCall(s.door_openings))
    # What is kept
    app.add_route("/v1/cities", Collection(s.cities, places.NewCity, NameQuery))
    app.add_route(f"/v1/cities/{KEY}", Item(s.cities, places.CityChange))
    app.add_route("/v1/companies", Collection(s.companies, places.NewCompany, NameQuery))
    app.add_route(f"/v1/companies/{KEY}", Item(s.companies, places.CompanyChange))
    app.add_route("/v1/houses", Collection(s.houses, places.NewHouse, places.HouseQuery))
    app.add_route(f"/v1/houses/{KEY}", Item(s.houses, places.HouseChange))
    app.add_route("/v1/entrances", Collection(s.entrances, places.NewEntrance, places.OfHouseQuery))
    app.add_route(f"/v1/entrances/{KEY}", Item(s.entrances, places.EntranceChange))
    app.add_route("/v1/apartments", Collection(s.apartments, places.NewApartment, places.ApartmentQuery))
    app.add_route(f"/v1/apartments/{KEY}", Item(s.apartments, places.ApartmentChange))
    app.add_route("/v1/accounts", Collection(s.accounts, accounts.NewAccount, accounts.AccountQuery, key="account"))
    app.add_route("/v1/accounts/{key}", Item(s.accounts, accounts.AccountChange))
    app.add_route("/v1/accounts/{key}/rotate-password", calls.RotatePassword(s.accounts))
    app.add_route("/v1/panels", Collection(s.panels, panels.NewPanel, OfCompanyQuery))
    app.add_route(f"/v1/panels/{KEY}", Item(s.panels, panels.PanelChange))
    app.add_route(f"/v1/doors/{KEY}/open", calls.DoorOpen(s.door_openings))
    app.add_route("/v1/block-kinds", Collection(s.block_kinds, blocks.NewBlockKind, OfCompanyQuery))
    app.add_route(f"/v1/block-kinds/{KEY}", Item(s.block_kinds, blocks.BlockKindChange))
    app.add_route("/v1/blocks", Collection(s.blocks, blocks.NewBlock, blocks.OfApartmentQuery))
    app.add_route(f"/v1/blocks/{KEY}", Item(s.blocks, blocks.BlockChange))
    app.add_route("/v1/ring-plans", Collection(s.ring_plans, ring_plans.NewRingPlan, blocks.OfApartmentQuery))
    # The key is text to the router, because the route above shares this place.
    app.add_route("/v1/ring-plans/{key}", RingPlanItem(s.ring_plans, ring_plans.RingPlanChange))
    # What happened
    app.add_route("/v1/calls", calls.Records(s.history.calls))
    app.add_route("/v1/calls/{call_id}", calls.Call(s.history))
    app.add_route("/v1/access-records", calls.Records(s.history.access_records))
    return app
