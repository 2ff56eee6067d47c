"""Who has an account."""

from django.db import models


class User(models.Model):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)

    class Meta:
        db_table = "users"

    def __str__(self) -> str:
        return self.name
