
import annotation.models
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('annotation', '0007_tell_votes_apart'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='completion',
            name='steps',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='proposals',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AddField(
            model_name='project',
            name='split_rule',
            field=models.CharField(choices=annotation.models.splits, default='blank_line', help_text='Where a whole solution is cut into steps', max_length=20),
        ),
        migrations.AddField(
            model_name='project',
            name='stop_at_first_bad',
            field=models.BooleanField(default=False, help_text='A trace is done at its first bad step; what comes after it is not asked'),
        ),
        migrations.CreateModel(
            name='Alternative',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('step', models.PositiveSmallIntegerField()),
                ('text', models.TextField()),
                ('source', models.CharField(blank=True, max_length=200)),
                ('completion', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='alternatives', to='annotation.completion')),
            ],
            options={
                'ordering': ['step', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='StepLabels',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('page', 'A labeler, on the page'), ('api', 'A labeler, through the API'), ('import', 'An imported file'), ('monte-carlo', 'Monte-Carlo estimate'), ('verifier', 'A verifier of steps'), ('model', 'A model'), ('consensus', 'Consensus of sources')], default='page', max_length=12)),
                ('source', models.CharField(blank=True, max_length=120)),
                ('key', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('ratings', models.JSONField(default=list)),
                ('scores', models.JSONField(null=True)),
                ('errors', models.JSONField(null=True)),
                ('notes', models.JSONField(default=dict)),
                ('proposed', models.JSONField(default=dict)),
                ('rewrites', models.JSONField(default=dict)),
                ('flagged', models.JSONField(default=list)),
                ('gave_up', models.CharField(blank=True, choices=[('too_hard', 'Too hard for me'), ('too_long', 'Would take too long'), ('unclear', 'I cannot follow the solution'), ('other', 'Other')], max_length=12)),
                ('bad_problem', models.CharField(blank=True, choices=[('ambiguous', 'The problem is ambiguous'), ('broken', 'Broken or incomplete text'), ('reference', 'The reference answer is wrong'), ('other', 'Other')], max_length=12)),
                ('seconds', models.FloatField(default=0)),
                ('comment', models.TextField(blank=True)),
                ('created', models.DateTimeField(default=django.utils.timezone.now)),
                ('labeler', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='step_labels', to=settings.AUTH_USER_MODEL)),
                ('prompt', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='step_labels', to='annotation.prompt')),
            ],
            options={
                'indexes': [models.Index(fields=['labeler', '-created'], name='step_labels_by_labeler')],
                'constraints': [models.UniqueConstraint(fields=('prompt', 'labeler'), name='step_labels_once'), models.UniqueConstraint(condition=models.Q(('labeler', None)), fields=('prompt', 'kind', 'source'), name='step_source_once')],
            },
        ),
    ]
