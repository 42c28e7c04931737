
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0010_problems_and_alternatives'),
    ]

    operations = [
        migrations.AlterField(
            model_name='completion',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='completions', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='criterion',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='criteria', to='annotation.project'),
        ),
        migrations.AlterField(
            model_name='draft',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='drafts', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='lease',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='leases', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='membership',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='annotation.project'),
        ),
        migrations.AlterField(
            model_name='rankedcompletion',
            name='ranking',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='ranked', to='annotation.ranking'),
        ),
        migrations.AlterField(
            model_name='ranking',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rankings', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='skip',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='skips', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='steplabels',
            name='prompt',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='step_labels', to='annotation.prompt'),
        ),
        migrations.AlterField(
            model_name='tally',
            name='project',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='tallies', to='annotation.project'),
        ),
    ]
