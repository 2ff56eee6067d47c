"""Sign-up with Django's ORM: the user and their two emails commit together, or not at all."""

import json
from datetime import timedelta

from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import outbox

from .models import User


@csrf_exempt  # it is asked by programs here, and not by a form
@require_POST
def sign_up(request: HttpRequest) -> JsonResponse:
    form = json.loads(request.body)
    try:
        with transaction.atomic():
            user = User.objects.create(email=form["email"], name=form["name"])
            outbox.enqueue(
                connection,
                channel="email",
                recipient=user.email,
                template="verify",
                payload={"name": user.name, "link": f"https://shop.example/verify/{user.pk}"},
                priority="urgent",
                expires_at=timedelta(hours=1),
                idempotency_key=f"verify:{user.pk}",
            )
            outbox.enqueue(
                connection,
                channel="email",
                recipient=user.email,
                template="welcome",
                payload={"name": user.name},
                priority="bulk",
                run_at=timedelta(minutes=10),
                idempotency_key=f"welcome:{user.pk}",
            )
    except IntegrityError:
        return JsonResponse({"detail": "this address has an account"}, status=409)
    return JsonResponse({"id": user.pk}, status=201)
