"""Make the queue's index again, last: of two that fit equally well, SQLite takes the one made last."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("annotation", "0005_find_waiting_prompts")]

    operations = [
        migrations.RemoveIndex(model_name="prompt", name="prompt_queue"),
        migrations.AddIndex(
            model_name="prompt",
            index=models.Index(fields=["project", "id"], condition=models.Q(open_slots__gt=0), name="prompt_queue"),
        ),
    ]
