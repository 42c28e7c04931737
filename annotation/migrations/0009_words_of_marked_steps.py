from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("annotation", "0008_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="steplabels",
            name="words",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
